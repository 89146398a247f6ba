-- The database's objects without rows, one line each: (kind, who, line). `who` is the role that a privilege
-- or a setting is about; its name changes with rotations and is no part of the line. The owner of the ledger
-- owns the schema; an owner's rights on its own objects are not listed. Objects of extensions are left out:
-- operators choose those themselves.
WITH ledger AS (
    SELECT (SELECT relowner FROM pg_catalog.pg_class
             WHERE oid OPERATOR(pg_catalog.=) pg_catalog.to_regclass('public.ledger')) AS owner),
members AS MATERIALIZED (SELECT classid, objid FROM pg_depend WHERE deptype = 'e'),
schemas AS (SELECT oid, nspname, nspowner, nspacl FROM pg_namespace
             WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'),
relations AS (
    SELECT c.*, format('%I.%I', n.nspname, c.relname) AS name
      FROM pg_class c JOIN schemas n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
       AND NOT EXISTS (SELECT FROM members m WHERE m.classid = 'pg_class'::regclass AND m.objid = c.oid)),
functions AS (
    SELECT p.*, format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)) AS name
      FROM pg_proc p JOIN schemas n ON n.oid = p.pronamespace
     WHERE NOT EXISTS (SELECT FROM members m WHERE m.classid = 'pg_proc'::regclass AND m.objid = p.oid)),
types AS (
    SELECT t.*, format('%I.%I', n.nspname, t.typname) AS name
      FROM pg_type t JOIN schemas n ON n.oid = t.typnamespace
     WHERE t.typtype IN ('e', 'd', 'r', 'b') AND t.typelem = 0
        OR t.typtype = 'c' AND EXISTS (SELECT FROM pg_class c WHERE c.oid = t.typrelid AND c.relkind = 'c')),
others AS (
    SELECT 'pg_operator'::regclass AS classid, oid FROM pg_operator
    UNION ALL SELECT 'pg_cast'::regclass, oid FROM pg_cast
    UNION ALL SELECT 'pg_opclass'::regclass, oid FROM pg_opclass
    UNION ALL SELECT 'pg_opfamily'::regclass, oid FROM pg_opfamily
    UNION ALL SELECT 'pg_conversion'::regclass, oid FROM pg_conversion
    UNION ALL SELECT 'pg_collation'::regclass, oid FROM pg_collation
    UNION ALL SELECT 'pg_event_trigger'::regclass, oid FROM pg_event_trigger
    UNION ALL SELECT 'pg_foreign_data_wrapper'::regclass, oid FROM pg_foreign_data_wrapper
    UNION ALL SELECT 'pg_foreign_server'::regclass, oid FROM pg_foreign_server
    UNION ALL SELECT 'pg_language'::regclass, oid FROM pg_language
    UNION ALL SELECT 'pg_am'::regclass, oid FROM pg_am
    UNION ALL SELECT 'pg_transform'::regclass, oid FROM pg_transform
    UNION ALL SELECT 'pg_statistic_ext'::regclass, oid FROM pg_statistic_ext),
owners AS (
    SELECT 'relation ' || name AS thing, relowner AS owner FROM relations
    UNION ALL SELECT 'function ' || name, proowner FROM functions
    UNION ALL SELECT 'type ' || name, typowner FROM types
    UNION ALL SELECT format('schema %I', nspname), nspowner FROM schemas
               -- On old servers its owner is the superuser, on newer ones the database's owner.
               WHERE NOT (nspname = 'public' AND pg_get_userbyid(nspowner) = 'pg_database_owner')
                 AND NOT (nspname = 'public' AND nspowner = 10)),
grants AS (
    SELECT 'relation ' || r.name AS thing, a.*, r.relowner AS owner
      FROM relations r, aclexplode(r.relacl) a
    UNION ALL
    SELECT format('column %s.%I', r.name, t.attname), a.*, r.relowner
      FROM relations r JOIN pg_attribute t ON t.attrelid = r.oid AND NOT t.attisdropped, aclexplode(t.attacl) a
    UNION ALL
    SELECT 'function ' || f.name, a.*, f.proowner
      FROM functions f, aclexplode(coalesce(f.proacl, acldefault('f', f.proowner))) a
    UNION ALL
    SELECT 'type ' || t.name, a.*, t.typowner
      FROM types t, aclexplode(coalesce(t.typacl, acldefault('T', t.typowner))) a
    UNION ALL
    SELECT format('schema %I', n.nspname), a.*, n.nspowner
      FROM schemas n, aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a
    -- The right to connect differs between servers.
    UNION ALL
    SELECT 'the database', a.*, d.datdba
      FROM pg_database d, aclexplode(d.datacl) a
     WHERE d.datname = current_database() AND a.privilege_type = 'CREATE'),
services AS (
    SELECT DISTINCT r.* FROM pg_roles r, relations c, aclexplode(c.relacl) a
     WHERE c.name = 'public.ledger' AND a.privilege_type = 'INSERT'
       AND a.grantee = r.oid AND a.grantee <> c.relowner),
lines (kind, who, line) AS (
    SELECT 'schema', NULL, format('schema %I', nspname) FROM schemas
    UNION ALL
    SELECT 'type', NULL, 'type ' || t.name || CASE t.typtype
               WHEN 'e' THEN ' enum ' || (SELECT string_agg(quote_literal(enumlabel), ' ' ORDER BY enumsortorder)
                                            FROM pg_enum WHERE enumtypid = t.oid)
               WHEN 'd' THEN ' domain ' || format_type(t.typbasetype, t.typtypmod)
                             || CASE WHEN t.typnotnull THEN ' not null' ELSE '' END
                             || coalesce(' default ' || t.typdefault, '')
               WHEN 'c' THEN ' of ' || (SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', '
                                                          ORDER BY attnum)
                                          FROM pg_attribute WHERE attrelid = t.typrelid AND attnum > 0
                                           AND NOT attisdropped)
               ELSE ' of another kind' END
      FROM types t
    UNION ALL
    SELECT 'function', NULL, 'function ' || name || ' (' || pg_get_function_arguments(oid) || ')'
           || coalesce(' returns ' || pg_get_function_result(oid), '')
           || ' language ' || (SELECT lanname FROM pg_language l WHERE l.oid = prolang)
           || format(' kind %s volatility %s parallel %s', prokind, provolatile, proparallel)
           || CASE WHEN prosecdef THEN ' with its owner''s rights' ELSE '' END
           || CASE WHEN proisstrict THEN ' strict' ELSE '' END
           || CASE WHEN proleakproof THEN ' leakproof' ELSE '' END
           || coalesce(' set ' || array_to_string(proconfig, ' set '), '')
           || ' body ' || encode(sha256(convert_to(coalesce(pg_get_function_sqlbody(oid), prosrc)
                                                   || coalesce(probin, ''), 'UTF8')), 'hex')
      FROM functions
    UNION ALL
    SELECT 'relation', NULL, CASE relkind WHEN 'r' THEN 'table ' WHEN 'p' THEN 'partitioned table '
               WHEN 'v' THEN 'view ' WHEN 'm' THEN 'materialized view ' WHEN 'f' THEN 'foreign table '
               ELSE 'sequence ' END || name
           || CASE relpersistence WHEN 'p' THEN '' WHEN 'u' THEN ' unlogged' ELSE ' temporary' END
           || CASE WHEN relrowsecurity THEN ' with row security' ELSE '' END
           || CASE WHEN relforcerowsecurity THEN ' forced' ELSE '' END
           || CASE WHEN relkind = 'p' THEN ' by ' || pg_get_partkeydef(oid) ELSE '' END
           || coalesce((SELECT ' under ' || string_agg(inhparent::regclass::text, ', ' ORDER BY inhseqno)
                          FROM pg_inherits WHERE inhrelid = r.oid), '')
           -- A table's options are its storage, a view's decide whose rights and rows count.
           || CASE WHEN relkind = 'v' THEN coalesce(' with ' || (SELECT string_agg(option, ', ' ORDER BY option)
                                                                   FROM unnest(reloptions) option), '')
                   ELSE '' END
           || CASE WHEN relkind IN ('v', 'm') THEN ' as ' || pg_get_viewdef(oid) ELSE '' END
           || coalesce((SELECT format(' %s by %s from %s to %s%s', format_type(seqtypid, NULL), seqincrement,
                                      seqmin, seqmax, CASE WHEN seqcycle THEN ' in a cycle' ELSE '' END)
                          FROM pg_sequence WHERE seqrelid = r.oid), '')
      FROM relations r
    UNION ALL
    SELECT 'column', NULL, format('column %s.%I %s', r.name, a.attname, format_type(a.atttypid, a.atttypmod))
           || CASE WHEN a.attcollation NOT IN (0, 100) THEN ' collate ' || a.attcollation::regcollation::text ELSE '' END
           || CASE WHEN a.attnotnull THEN ' not null' ELSE '' END
           || CASE WHEN a.attidentity <> '' THEN ' identity ' || a.attidentity::text ELSE '' END
           || CASE WHEN a.attgenerated <> '' THEN ' generated ' || a.attgenerated::text ELSE '' END
           || coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), '')
      FROM relations r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
           LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
     WHERE r.relkind <> 'S'
    UNION ALL
    SELECT 'check', NULL, format('constraint %I of %s: %s', k.conname, coalesce(r.name, 'type ' || t.name),
                                 pg_get_constraintdef(k.oid))
           || CASE WHEN k.convalidated THEN '' ELSE ' (not validated)' END
      FROM pg_constraint k LEFT JOIN relations r ON r.oid = k.conrelid LEFT JOIN types t ON t.oid = k.contypid
     WHERE k.contype = 'c' AND (r.oid IS NOT NULL OR t.oid IS NOT NULL)
    UNION ALL
    SELECT 'constraint', NULL, format('constraint %I of %s: %s', k.conname, r.name, pg_get_constraintdef(k.oid))
           || CASE WHEN k.convalidated THEN '' ELSE ' (not validated)' END
      FROM pg_constraint k JOIN relations r ON r.oid = k.conrelid
     WHERE k.contype NOT IN ('c', 'n', 't')
    UNION ALL
    SELECT 'index', NULL, 'index ' || pg_get_indexdef(i.indexrelid)
           || CASE WHEN i.indisvalid AND i.indisready THEN '' ELSE ' (not valid)' END
      FROM pg_index i JOIN relations r ON r.oid = i.indrelid
    UNION ALL
    SELECT 'trigger', NULL, 'trigger ' || pg_get_triggerdef(t.oid) || CASE t.tgenabled
               WHEN 'O' THEN '' WHEN 'D' THEN ' (disabled)' ELSE ' (enabled ' || t.tgenabled::text || ')' END
      FROM pg_trigger t JOIN relations r ON r.oid = t.tgrelid WHERE NOT t.tgisinternal
    UNION ALL
    SELECT 'trigger', NULL, format('trigger of the constraint %I of %s (disabled)', k.conname, r.name)
      FROM pg_trigger t JOIN relations r ON r.oid = t.tgrelid JOIN pg_constraint k ON k.oid = t.tgconstraint
     WHERE t.tgisinternal AND t.tgenabled <> 'O'
    UNION ALL
    SELECT 'rule', NULL, 'rule ' || pg_get_ruledef(w.oid) || ' enabled ' || w.ev_enabled::text
      FROM pg_rewrite w JOIN relations r ON r.oid = w.ev_class WHERE w.rulename <> '_RETURN'
    UNION ALL
    SELECT 'policy', NULL, format('policy %I of %s for %s: %s / %s', p.polname, r.name, p.polcmd,
                                  pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))
      FROM pg_policy p JOIN relations r ON r.oid = p.polrelid
    UNION ALL
    SELECT 'other', NULL, i.type || ' ' || i.identity
      FROM others o, pg_identify_object(o.classid, o.oid, 0) i
     WHERE o.oid >= 16384
       AND NOT EXISTS (SELECT FROM members m WHERE m.classid = o.classid AND m.objid = o.oid)
    UNION ALL
    -- Copies of rows that leave the database, and rows that come in past triggers.
    SELECT 'publication', NULL, format('publication %I', pubname) || CASE WHEN puballtables THEN ' of all tables' ELSE '' END
           || CASE WHEN pubinsert THEN ' insert' ELSE '' END || CASE WHEN pubupdate THEN ' update' ELSE '' END
           || CASE WHEN pubdelete THEN ' delete' ELSE '' END || CASE WHEN pubtruncate THEN ' truncate' ELSE '' END
           || CASE WHEN pubviaroot THEN ' via the root' ELSE '' END
      FROM pg_publication
    UNION ALL
    -- Columns and rows are shown by servers that support choosing them.
    SELECT 'publication', NULL, format('publication %I has %I.%I', pubname, schemaname, tablename)
           || coalesce(' columns ' || (to_jsonb(t) ->> 'attnames'), '')
           || coalesce(' where ' || (to_jsonb(t) ->> 'rowfilter'), '')
      FROM pg_publication_tables t
    UNION ALL
    SELECT 'publication', NULL, format('subscription %I to %s', s.subname, array_to_string(s.subpublications, ', '))
           || CASE WHEN s.subenabled THEN '' ELSE ' (disabled)' END
      FROM pg_subscription s
     WHERE s.subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())
    UNION ALL
    SELECT 'owner', NULL, format('%s belongs to %I', o.thing, pg_get_userbyid(o.owner))
      FROM owners o, ledger l WHERE o.owner <> l.owner
    UNION ALL
    SELECT 'privilege', CASE WHEN g.grantee = 0 THEN NULL ELSE pg_get_userbyid(g.grantee)::text END,
           CASE WHEN g.grantee = 0 THEN 'everybody' ELSE 'the role' END || ' may ' || g.privilege_type || ' '
           || g.thing || CASE WHEN g.is_grantable THEN ' and grant that' ELSE '' END
      FROM grants g WHERE g.grantee <> g.owner AND g.grantee IS DISTINCT FROM (SELECT owner FROM ledger)
    UNION ALL
    SELECT 'privilege', NULL, format('in %s what %I makes is granted: %s', coalesce(n.nspname, 'all schemas'),
                                     pg_get_userbyid(d.defaclrole), d.defaclacl::text)
      FROM pg_default_acl d LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace
    UNION ALL
    SELECT 'role', s.rolname::text, 'the role is ' || attribute.name
      FROM services s, LATERAL (VALUES ('a superuser', s.rolsuper), ('one that makes roles', s.rolcreaterole),
               ('one that passes over row security', s.rolbypassrls), ('one that replicates', s.rolreplication),
               ('one that makes databases', s.rolcreatedb)) attribute (name, has)
     WHERE attribute.has
    UNION ALL
    SELECT 'role', s.rolname::text, 'the role has the rights of ' || CASE WHEN r.oid = (SELECT owner FROM ledger)
               THEN 'the owner' ELSE r.rolname::text END
      FROM services s, pg_roles r
     WHERE r.oid <> s.oid AND NOT s.rolsuper AND pg_has_role(s.oid, r.oid, 'MEMBER')
       AND (r.oid = (SELECT owner FROM ledger) OR r.rolsuper
            OR r.rolname IN ('pg_write_all_data', 'pg_read_server_files', 'pg_write_server_files',
                             'pg_execute_server_program', 'pg_maintain', 'pg_database_owner'))
    UNION ALL
    SELECT 'role', CASE WHEN s.setrole IN (0, (SELECT owner FROM ledger)) THEN NULL
                        ELSE pg_get_userbyid(s.setrole)::text END,
           CASE WHEN s.setrole = 0 THEN 'everybody''s sessions begin with '
                WHEN s.setrole = (SELECT owner FROM ledger) THEN 'the owner''s sessions begin with '
                ELSE 'the role''s sessions begin with ' END || pair
      FROM pg_db_role_setting s, unnest(s.setconfig) pair
     WHERE s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
       AND (s.setrole IN (0, (SELECT owner FROM ledger)) OR s.setrole IN (SELECT oid FROM services))
       AND split_part(pair, '=', 1) IN ('search_path', 'session_replication_role', 'row_security',
                                        'session_preload_libraries', 'local_preload_libraries'))
SELECT DISTINCT kind, who,
       -- A day of metrics comes and goes.
       regexp_replace(regexp_replace(line, '\s+', ' ', 'g'), 'agent_metrics_[0-9]{8}', 'agent_metrics_DAY', 'g')
  FROM lines WHERE line IS NOT NULL
 ORDER BY 1, 2, 3

-- A settled prediction is as immutable as a settled bet.
CREATE FUNCTION refuse_change_of_the_settled_prediction() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'prediction % is settled: % refused', OLD.id, TG_OP
        USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER predictions_settled_for_good BEFORE UPDATE ON predictions FOR EACH ROW
    WHEN (OLD.status <> 'OPEN')
    EXECUTE FUNCTION refuse_change_of_the_settled_prediction();
CREATE TRIGGER predictions_kept BEFORE DELETE OR TRUNCATE ON predictions
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

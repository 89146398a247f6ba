#!/bin/sh
# Run once by the Postgres image when it creates its cluster: the two roles and the database. What
# the roles may do is in the migrations.
export LC_ALL=C
set -eu
psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --username="$POSTGRES_USER" --dbname=postgres <<'SQL'
\getenv app_password ARENA_APP_PASSWORD
\getenv owner_password ARENA_OWNER_PASSWORD
CREATE ROLE arena_app LOGIN PASSWORD :'app_password';
CREATE ROLE arena_owner LOGIN PASSWORD :'owner_password';
CREATE DATABASE arena OWNER arena_owner;
SQL

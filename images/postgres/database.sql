-- Makes the database :name and its role of the same name, or gives the role its present password.
-- The password comes from the environment and never appears in a command line or a log.
\set ON_ERROR_STOP on
\getenv password :variable
SELECT NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'name') AS absent \gset
\if :absent
CREATE ROLE :"name" LOGIN PASSWORD :'password' NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION;
CREATE DATABASE :"name" OWNER :"name" ENCODING 'UTF8' TEMPLATE template0;
REVOKE ALL ON DATABASE :"name" FROM PUBLIC;
\connect :name
ALTER SCHEMA public OWNER TO :"name";
REVOKE ALL ON SCHEMA public FROM PUBLIC;
-- The empty schema of the version this image was made with; the program migrates it like any other.
\getenv seed SEED
\set seeded `test -f "$SEED" && echo true || echo false`
\if :seeded
SET SESSION AUTHORIZATION :"name";
\i :seed
RESET SESSION AUTHORIZATION;
\endif
\else
ALTER ROLE :"name" PASSWORD :'password';
\endif

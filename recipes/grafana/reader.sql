-- Creates a role with which Grafana reads the tables of `bitlake ddl --dialect postgres`. Run this file once as the owner of the
-- database, after the first load, and give the role a password: psql -f reader.sql, then \password bitlake_reader
CREATE ROLE bitlake_reader LOGIN;
-- DevLake's dashboards compute months from the time zone of the session.
ALTER ROLE bitlake_reader SET timezone = 'UTC';
GRANT USAGE ON SCHEMA config, domain, dora, metrics, devlake TO bitlake_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA config, domain, dora, metrics, devlake TO bitlake_reader;
-- The role may also read tables that a later version adds.
ALTER DEFAULT PRIVILEGES IN SCHEMA config, domain, dora, metrics, devlake GRANT SELECT ON TABLES TO bitlake_reader;

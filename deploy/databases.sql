-- Run once, by the postgres image when the cluster is new, or by hand (docs/team.md): a database and a role for each server,
-- with the passwords that the environment holds. psql 15 reads them itself, so they are on no command line.
\getenv prefect_password PREFECT_POSTGRES_PASSWORD
\getenv mlflow_password MLFLOW_POSTGRES_PASSWORD
SET log_min_error_statement = panic; -- a failing CREATE ROLE would stand in the log, with its password
SET password_encryption = 'scram-sha-256';
CREATE ROLE prefect LOGIN PASSWORD :'prefect_password';
CREATE ROLE mlflow LOGIN PASSWORD :'mlflow_password';
CREATE DATABASE prefect OWNER prefect;
CREATE DATABASE mlflow OWNER mlflow;
CREATE DATABASE mlflow_auth OWNER mlflow;
REVOKE CONNECT ON DATABASE prefect, mlflow, mlflow_auth FROM PUBLIC;
\connect prefect
CREATE EXTENSION pg_trgm;

-- Which components did each production deployment change?
--
-- Grain:  one row per project, production deployment, environment and component
-- Source: domain.commit_files, dora.commit_deployments, config.components
--
-- Rules:
-- * A file belongs to every component of the repository's rules whose path_pattern matches; to `other` if to none.
-- * The commits are those that reached the environment first with the deployment; of the first known deployment
--   there (position 1) that is all history, so it has no rows.
-- * Bitbucket's API does not list the files that a commit changed: without commits by git, or a [[table]] of
--   domain.commit_files, this is empty.
--
-- incremental: project by project_name
WITH repository_rules AS (
    SELECT
        r.repo_id,
        min(r.rules) AS rules
    FROM config.repositories AS r
    GROUP BY r.repo_id
),

files AS (
    SELECT
        g.cicd_scope_id,
        g.deployment_id,
        g.environment,
        g.commit_sha,
        f.file_path,
        coalesce(r.rules, 'default') AS rules
    FROM domain.commit_files AS f
    INNER JOIN dora.commit_deployments AS g ON g.commit_sha = f.commit_sha
    LEFT JOIN repository_rules AS r ON r.repo_id = g.repo_id
    WHERE g.position > 1
),

paths AS (
    SELECT DISTINCT
        rules,
        file_path
    FROM files
),

components AS (
    SELECT
        p.rules,
        p.file_path,
        c.component
    FROM paths AS p
    INNER JOIN config.components AS c ON c.rules = p.rules
    WHERE regexp_like(p.file_path, c.path_pattern)
)

SELECT
    m.project_name,
    f.deployment_id,
    f.environment,
    coalesce(c.component, 'other') AS component,
    count(DISTINCT f.commit_sha) AS commits,
    count(DISTINCT f.file_path) AS files
FROM files AS f
INNER JOIN domain.project_mapping AS m ON m."table" = 'cicd_scopes' AND m.row_id = f.cicd_scope_id
LEFT JOIN components AS c ON c.rules = f.rules AND c.file_path = f.file_path
GROUP BY m.project_name, f.deployment_id, f.environment, coalesce(c.component, 'other')

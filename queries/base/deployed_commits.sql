-- Which commits were deployed, and which repository's history contains them?
--
-- Grain:  one row per deployment and commit (cicd_deployment_commits.id) with a commit
-- Source: domain.cicd_deployment_commits, domain.repo_commits, domain.project_mapping
--
-- Rules:
-- * The repository is the one of the deployment, if its history has the commit. Rows from outside tables may have no
--   repository, or one under another name: theirs is the one that has the commit. Among several, one that a project
--   maps in common with the scope of the deployment is preferred, then the smallest id.
--
-- incremental: repository
WITH collected AS (
    SELECT DISTINCT repo_id
    FROM domain.repo_commits
),

strays AS (
    SELECT DISTINCT
        d.cicd_scope_id,
        d.repo_id AS repo_id_given,
        d.commit_sha
    FROM domain.cicd_deployment_commits AS d
    WHERE d.commit_sha <> ''
        AND NOT EXISTS (
            SELECT 1
            FROM domain.repo_commits AS k
            WHERE k.repo_id = d.repo_id AND k.commit_sha = d.commit_sha
        )
        AND (d.deployment_source = '' OR NOT EXISTS (SELECT 1 FROM collected AS c WHERE c.repo_id = d.repo_id))
),

candidates AS (
    SELECT
        s.cicd_scope_id,
        s.repo_id_given,
        s.commit_sha,
        c.repo_id
    FROM strays AS s
    INNER JOIN domain.repo_commits AS c ON c.commit_sha = s.commit_sha
),

related AS (
    SELECT DISTINCT
        c.cicd_scope_id,
        c.repo_id
    FROM candidates AS c
    INNER JOIN domain.project_mapping AS s ON s."table" = 'cicd_scopes' AND s.row_id = c.cicd_scope_id
    INNER JOIN domain.project_mapping AS r
        ON r."table" = 'repos' AND r.row_id = c.repo_id AND r.project_name = s.project_name
),

homes AS (
    SELECT
        c.cicd_scope_id,
        c.repo_id_given,
        c.commit_sha,
        coalesce(min(r.repo_id), min(c.repo_id)) AS repo_id
    FROM candidates AS c
    LEFT JOIN related AS r ON r.cicd_scope_id = c.cicd_scope_id AND r.repo_id = c.repo_id
    GROUP BY c.cicd_scope_id, c.repo_id_given, c.commit_sha
)

SELECT
    coalesce(h.repo_id, d.repo_id) AS repo_id,
    d.id,
    d.cicd_deployment_id,
    d.cicd_scope_id,
    d.commit_sha,
    d.result,
    d.environment,
    d.original_environment,
    d.started_date,
    d.finished_date,
    d.deployment_source,
    d.prev_success_deployment_commit_id
FROM domain.cicd_deployment_commits AS d
LEFT JOIN homes AS h
    ON h.cicd_scope_id = d.cicd_scope_id AND h.repo_id_given = d.repo_id AND h.commit_sha = d.commit_sha
WHERE d.commit_sha <> ''

-- What was deployed where, and which success went before it?
--
-- Grain:  one row per deployment and commit
-- Source: base.cicd_deployment_commits, domain.project_mapping
--
-- Rules:
-- * prev_success_deployment_commit_id is the success before this one in the same scope, repository and environment, by
--   the time it finished. Rows that are no finished success in an environment have ''.
-- * Addresses are compared without letter case, a final .git and a final slash.
-- * Of deployments from another source, those have a chain whose scope a project has, as in DevLake; all, while no
--   project has any scope.
-- * Rows from another source keep their chain where any row of their scope has one.
--
-- incremental: repository by cicd_scope_id
WITH mapped_scopes AS (
    SELECT DISTINCT row_id AS id FROM domain.project_mapping WHERE "table" = 'cicd_scopes'
),

given AS (
    SELECT
        cicd_scope_id,
        count(*) AS links
    FROM base.cicd_deployment_commits
    WHERE deployment_source = '' AND prev_success_deployment_commit_id <> ''
    GROUP BY cicd_scope_id
),

previous_success AS (
    SELECT
        d.id,
        d.commit_sha,
        lag(d.id) OVER (
            PARTITION BY d.cicd_scope_id, regexp_replace(lower(d.repo_url), '(/|\.git)+$', ''), d.environment
            ORDER BY d.finished_date, d.started_date NULLS FIRST, d.id, d.commit_sha
        ) AS previous_id
    FROM base.cicd_deployment_commits AS d
    WHERE d.result = 'SUCCESS' AND d.finished_date IS NOT NULL AND d.environment <> '' AND d.repo_url <> ''
        AND (
            d.deployment_source <> ''
            OR d.cicd_scope_id IN (SELECT m.id FROM mapped_scopes AS m)
            OR (SELECT count(*) FROM mapped_scopes) = 0
        )
)

SELECT
    d.* EXCLUDE (prev_success_deployment_commit_id),
    CASE WHEN d.deployment_source = '' AND g.links > 0 THEN d.prev_success_deployment_commit_id
        ELSE coalesce(p.previous_id, '')
    END AS prev_success_deployment_commit_id
FROM base.cicd_deployment_commits AS d
LEFT JOIN given AS g ON g.cicd_scope_id = d.cicd_scope_id
LEFT JOIN previous_success AS p ON p.id = d.id AND p.commit_sha = d.commit_sha

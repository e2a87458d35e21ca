-- Which unknown pull requests and pipelines do rows name?
--
-- Grain:  one row per repository, column that refers to another table, id that this table does not have, and raw table
-- Source: domain.pull_request_commits, domain.pull_request_comments, domain.pull_request_reviewers,
--         domain.pull_request_issues, domain.cicd_tasks, domain.cicd_pipeline_commits
--
-- Rules:
-- * These columns are in the largest tables, and name rows of their own repository. metrics.unmatched has the others.
--
-- incremental: project by repo_id
-- stored
WITH of_pull_requests AS (
    SELECT
        'pull_request_commits.pull_request_id' AS link,
        pull_request_id,
        _raw_data_table
    FROM domain.pull_request_commits
    UNION ALL
    SELECT
        'pull_request_comments.pull_request_id' AS link,
        pull_request_id,
        _raw_data_table
    FROM domain.pull_request_comments
    UNION ALL
    SELECT
        'pull_request_reviewers.pull_request_id' AS link,
        pull_request_id,
        _raw_data_table
    FROM domain.pull_request_reviewers
    UNION ALL
    SELECT
        'pull_request_issues.pull_request_id' AS link,
        pull_request_id,
        _raw_data_table
    FROM domain.pull_request_issues
),

of_pipelines AS (
    SELECT
        'cicd_tasks.pipeline_id' AS link,
        cicd_scope_id AS repo_id,
        pipeline_id,
        _raw_data_table
    FROM domain.cicd_tasks
    UNION ALL
    SELECT
        'cicd_pipeline_commits.pipeline_id' AS link,
        repo_id,
        pipeline_id,
        _raw_data_table
    FROM domain.cicd_pipeline_commits
),

unknown AS (
    SELECT
        'bitbucket:BitbucketRepo:' || split_part(r.pull_request_id, ':', 3)
        || ':' || split_part(r.pull_request_id, ':', 4) AS repo_id,
        r.link,
        r.pull_request_id AS value,
        r._raw_data_table
    FROM of_pull_requests AS r
    WHERE NOT EXISTS (SELECT 1 FROM domain.pull_requests AS p WHERE p.id = r.pull_request_id)
    UNION ALL
    SELECT
        r.repo_id,
        r.link,
        r.pipeline_id AS value,
        r._raw_data_table
    FROM of_pipelines AS r
    WHERE NOT EXISTS (SELECT 1 FROM domain.cicd_pipelines AS p WHERE p.id = r.pipeline_id)
)

SELECT
    repo_id,
    link,
    value,
    _raw_data_table,
    count(*) AS n
FROM unknown
GROUP BY repo_id, link, value, _raw_data_table

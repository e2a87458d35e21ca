-- Which states and results does Bitbucket use that no rule maps, so that rows have OTHER or ''?
--
-- Grain:  one row per repository, table and word
-- Source: domain.pull_requests, domain.cicd_pipelines, domain.cicd_tasks, domain.cicd_deployments
--
-- Rules:
-- * Words that are known and mean "no outcome" (EXPIRED, NOT_RUN, UNDEPLOYED, …) are not reported.
-- * Rows of other sources have words of their own.
WITH words AS (
    SELECT
        base_repo_id AS repo_id,
        'pull request state' AS what,
        original_status AS word
    FROM domain.pull_requests
    UNION ALL
    SELECT
        cicd_scope_id,
        'pipeline state',
        original_status
    FROM domain.cicd_pipelines
    UNION ALL
    SELECT
        cicd_scope_id,
        'pipeline result',
        original_result
    FROM domain.cicd_pipelines
    UNION ALL
    SELECT
        cicd_scope_id,
        'step state',
        original_status
    FROM domain.cicd_tasks
    UNION ALL
    SELECT
        cicd_scope_id,
        'step result',
        original_result
    FROM domain.cicd_tasks
    UNION ALL
    SELECT
        cicd_scope_id,
        'deployment state',
        original_status
    FROM domain.cicd_deployments
    UNION ALL
    SELECT
        cicd_scope_id,
        'deployment result',
        original_result
    FROM domain.cicd_deployments
)

SELECT
    split_part(repo_id, ':', 4) AS repository,
    what || ' that no rule knows: ' || word AS kind,
    count(*) AS n
FROM words
WHERE starts_with(repo_id, 'bitbucket:') AND upper(word) NOT IN (
        '', 'OPEN', 'MERGED', 'DECLINED', 'SUPERSEDED',
        'PENDING', 'PARSING', 'READY', 'IN_PROGRESS', 'BUILDING', 'RUNNING', 'PAUSED', 'HALTED', 'COMPLETED',
        'SUCCESSFUL', 'PASSED', 'FAILED', 'ERROR', 'STOPPED', 'CANCELLED', 'EXPIRED', 'NOT_RUN', 'SKIPPED',
        'UNDEPLOYED', 'ROLLED_BACK', 'UNKNOWN'
    )
GROUP BY split_part(repo_id, ':', 4), what || ' that no rule knows: ' || word

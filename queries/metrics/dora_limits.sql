-- How far was the data collected that the figures need?
--
-- Grain:  one row per project, repository ('' for all of them) and need
-- Source: config.completeness, config.repositories, config.rules, config.issue_types
--
-- Rules:
-- * Deployments need the source that config.rules names for them; changes need pull requests too, failures the issues
--   that may be incidents. 'failures without the tracker' is for periods that reach beyond the end of Bitbucket's issue
--   tracker, where issues limit nothing.
-- * A list that is still loading is complete from complete_from on. One that the last run did not reach is complete
--   until complete_through.
WITH collected_repositories AS (
    SELECT
        p.project_name,
        p.connection_id,
        p.full_name,
        r.repo_id,
        coalesce(u.deployments, 'both') AS deployments_from,
        r.cicd,
        r.review,
        r.issues AND t.rules IS NOT NULL AS incidents
    FROM config.project_repositories AS p
    INNER JOIN config.repositories AS r ON r.connection_id = p.connection_id AND r.full_name = p.full_name
    LEFT JOIN config.rules AS u ON u.rules = r.rules
    LEFT JOIN (SELECT DISTINCT rules FROM config.issue_types WHERE type = 'INCIDENT') AS t
        ON t.rules = r.rules
),

needed AS (
    SELECT
        r.project_name,
        r.repo_id,
        c.entity,
        c.complete_from,
        c.complete_through,
        CASE
            WHEN c.status IN ('complete', 'loading') AND c.complete_through IS NOT NULL THEN 'behind'
            WHEN c.status = 'loading' AND c.complete_from IS NOT NULL THEN 'complete'
            ELSE c.status
        END AS status,
        r.cicd AND (
            c.entity = 'deployments' AND r.deployments_from IN ('bitbucket', 'both')
            OR c.entity IN ('pipelines', 'pipeline_steps') AND r.deployments_from IN ('steps', 'both')
        ) AS for_deployments,
        r.review AND c.entity = 'pull_requests' AS for_changes,
        r.incidents AND c.entity = 'issues' AS for_failures
    FROM collected_repositories AS r
    INNER JOIN config.completeness AS c ON c.connection_id = r.connection_id AND c.full_name = r.full_name
    WHERE c.status <> 'absent'
),

needed_by AS (
    SELECT
        *,
        unnest(['', repo_id]) AS limits_of
    FROM (
        SELECT
            *,
            'deployments' AS needed_for
        FROM needed WHERE for_deployments
        UNION ALL
        SELECT
            *,
            'changes' AS needed_for
        FROM needed WHERE for_deployments OR for_changes
        UNION ALL
        SELECT
            *,
            'failures' AS needed_for
        FROM needed WHERE for_deployments OR for_failures
        UNION ALL
        SELECT
            *,
            'failures without the tracker' AS needed_for
        FROM needed WHERE for_deployments
    ) AS n
)

SELECT
    project_name,
    limits_of,
    needed_for,
    max(complete_from) AS complete_from,
    min(CASE WHEN status <> 'complete' THEN
            CASE WHEN status = 'failed' THEN entity || ' failed' ELSE entity || ' are ' || status END
    END) AS trouble,
    bool_or(status <> 'complete' AND complete_through IS NULL) AS is_never_whole,
    min(CASE WHEN status <> 'complete' THEN complete_through END) AS complete_through
FROM needed_by
GROUP BY project_name, limits_of, needed_for

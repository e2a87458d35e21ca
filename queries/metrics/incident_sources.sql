-- What are the failure figures of each project based on?
--
-- Grain:  one row per project
-- Source: config.repositories, config.completeness, config.issue_types, config.outside_tables; dora.incidents,
--         dora.deployments; domain.issues for how long Bitbucket's issue tracker was there
--
-- Rules:
-- * Sources are incidents from wherever they came, and repositories with issues whose rules make some kind an incident
--   and whose tracker is available. An incidents table from outside that has no rows is a source for every project:
--   there were no incidents.
-- * Atlassian removed Bitbucket's issue tracker on the day that the CTE tracker has. From then on it is no source,
--   unless it shows later issues all the same, as the sandbox does.
WITH tracker AS (
    SELECT CASE WHEN count(i.id) = 0 THEN t.removed END AS ends
    FROM (SELECT timestamp '2026-08-20 00:00:00' AS removed) AS t
    LEFT JOIN domain.issues AS i
        ON starts_with(i.id, 'bitbucket:BitbucketIssue:') AND i.created_date >= t.removed
    GROUP BY t.removed
),

tracked_repositories AS (
    SELECT
        p.project_name,
        p.connection_id,
        p.full_name
    FROM config.project_repositories AS p
    INNER JOIN config.repositories AS r ON r.connection_id = p.connection_id AND r.full_name = p.full_name
    INNER JOIN (SELECT DISTINCT rules FROM config.issue_types WHERE type = 'INCIDENT') AS t ON t.rules = r.rules
    WHERE r.issues
),

sources AS (
    SELECT
        r.project_name,
        t.ends
    FROM tracked_repositories AS r
    CROSS JOIN tracker AS t
    WHERE NOT EXISTS (
            SELECT 1
            FROM config.completeness AS c
            WHERE c.connection_id = r.connection_id AND c.full_name = r.full_name
                AND c.entity = 'issues' AND c.status = 'absent'
        )
    UNION ALL
    SELECT
        i.project_name,
        CASE WHEN starts_with(i.incident_id, 'bitbucket:BitbucketIssue:') THEN t.ends END AS ends
    FROM dora.incidents AS i
    CROSS JOIN tracker AS t
    UNION ALL
    SELECT
        b.project_name,
        NULL AS ends
    FROM config.buckets AS b
    WHERE EXISTS (
            SELECT 1
            FROM config.outside_tables AS o
            WHERE o.name IN ('domain.incidents', 'dora.incidents') AND o.row_count = 0
        )
),

known AS (
    SELECT
        project_name,
        CASE WHEN bool_and(ends IS NOT NULL) THEN max(ends) END AS ends
    FROM sources
    GROUP BY project_name
),

other_evidence AS (
    SELECT DISTINCT project_name
    FROM dora.deployments
    WHERE is_failed AND coalesce(failure_evidence, '') <> 'incident'
),

projects AS (
    SELECT DISTINCT project_name FROM config.buckets
)

SELECT
    p.project_name,
    k.project_name IS NOT NULL AS has_source,
    k.ends,
    o.project_name IS NOT NULL AS has_other_evidence,
    t.ends AS tracker_ends
FROM projects AS p
CROSS JOIN tracker AS t
LEFT JOIN known AS k ON k.project_name = p.project_name
LEFT JOIN other_evidence AS o ON o.project_name = p.project_name

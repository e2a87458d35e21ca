-- Which incidents were there, which deployment caused each, and why is another not linked?
--
-- Grain:  one row per project and incident
-- Source: dora.incidents (the link), domain.incidents, domain.cicd_deployments
--
-- Rules:
-- * evidence says what links the incident to its deployment, score how strong it is; dora.incidents has the rules.
-- * An incident without a deployment has the reason under "not linked because". It counts in no failure rate.
-- * "recovery h" is from beginning to resolution; empty while the incident is open.
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only incidents of these repositories or of their deployments (workspace/slug)
-- param: from timestamp = null   began at or after
-- param: to timestamp = null   began before
-- param: linked boolean = null   true: only those linked to a deployment; false: only the others
-- param: n bigint = 100   how many, the latest first
WITH incidents AS (
    SELECT
        i.project_name,
        i.incident_id,
        i.title,
        i.status,
        i.created_date,
        i.resolution_date,
        i.recovery_seconds,
        i.deployment_id,
        i.evidence,
        i.score,
        i.age_seconds,
        i.unlinked_reason,
        n.incident_key,
        n.url
    FROM dora.incidents AS i
    LEFT JOIN domain.incidents AS n ON n.id = i.incident_id
    WHERE ($project IS NULL OR list_contains($project, i.project_name))
        AND ($from IS NULL OR i.created_date >= $from)
        AND ($to IS NULL OR i.created_date < $to)
        AND ($linked IS NULL OR (i.deployment_id <> '') = $linked)
        AND (
            $repo IS NULL
            OR n.scope_id IN (SELECT b.id FROM domain.boards AS b WHERE list_contains($repo, b.name))
            OR i.deployment_id IN (
                SELECT c.cicd_deployment_id
                FROM domain.cicd_deployment_commits AS c
                INNER JOIN domain.repos AS r ON r.id = c.repo_id
                WHERE list_contains($repo, r.name)
            )
        )
),

deployments AS (
    SELECT
        id,
        coalesce(nullif(display_title, ''), nullif(name, ''), id) AS title
    FROM domain.cicd_deployments
)

SELECT
    i.project_name AS project,
    coalesce(nullif(i.incident_key, ''), i.incident_id) AS incident,
    i.title,
    i.status,
    i.created_date AS began,
    i.resolution_date AS resolved,
    round(i.recovery_seconds / 360.0) / 10 AS "recovery h",
    CASE WHEN i.deployment_id = '' THEN '' ELSE coalesce(d.title, i.deployment_id) END AS deployment,
    round(i.age_seconds / 360.0) / 10 AS "after deployment h",
    CASE WHEN i.deployment_id = '' THEN '' ELSE i.evidence END AS evidence,
    CASE WHEN i.deployment_id <> '' THEN i.score END AS score,
    CASE
        WHEN i.deployment_id <> '' THEN ''
        ELSE coalesce(nullif(i.unlinked_reason, ''), 'the evidence is too weak')
    END AS "not linked because",
    coalesce(i.url, '') AS url
FROM incidents AS i
LEFT JOIN deployments AS d ON d.id = i.deployment_id
ORDER BY i.created_date DESC NULLS LAST, i.project_name, i.incident_id
LIMIT $n

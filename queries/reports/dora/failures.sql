-- Which production deployments failed, how do we know, and what ended the failure?
--
-- Grain:  one row per project, failed deployment and production environment
-- Source: dora.deployments, dora.deployment_chains, dora.incidents; dora.project_pr_metrics for the reverts
--
-- Rules:
-- * evidence is that of dora.deployments.failure_evidence; details names the incidents that are linked to it with the
--   evidence of the link, the deployment that rolled it back, the pull requests that reverted one of its changes, and
--   an outcome of FAILURE.
-- * "recovery h" is counted as in dora.deployments.recovery_seconds; empty while the failure is not over.
-- * dora_details/change_failure_deployments has a row for each incident.
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories (workspace/slug)
-- param: from timestamp = null   finished at or after
-- param: to timestamp = null   finished before
-- param: n bigint = 100   how many, the latest first
WITH failures AS (
    SELECT
        d.project_name,
        d.deployment_id,
        d.environment,
        d.deployment_commit_id,
        d.repo_id,
        d.finished_date,
        d.outcome,
        d.changes,
        d.failure_evidence,
        d.recovered_date,
        d.recovery_seconds,
        d.recovery_source,
        d.recovery_deployment_id,
        d.url
    FROM dora.deployments AS d
    WHERE d.is_failed
        AND ($project IS NULL OR list_contains($project, d.project_name))
        AND ($repo IS NULL OR d.repo_id IN (SELECT r.id FROM domain.repos AS r WHERE list_contains($repo, r.name)))
        AND ($from IS NULL OR d.finished_date >= $from)
        AND ($to IS NULL OR d.finished_date < $to)
),

-- the deployments that count as one with each release
chains AS (
    SELECT DISTINCT
        project_name,
        deployment_id,
        cicd_deployment_id
    FROM dora.deployment_chains
),

-- `reverted`: the ids of deployment commits, one a line
reverts AS (
    SELECT
        m.project_name,
        m.id,
        chr(10) || coalesce(nullif(m.reverted_deployment_commit_ids, ''), m.reverted_deployment_commit_id) || chr(10)
            AS reverted
    FROM dora.project_pr_metrics AS m
    WHERE m.reverted_deployment_commit_ids <> '' OR m.reverted_deployment_commit_id <> ''
),

titles AS (
    SELECT
        id,
        coalesce(nullif(display_title, ''), nullif(name, ''), id) AS title
    FROM domain.cicd_deployments
),

-- `place` sorts the details of a deployment
details AS (
    SELECT
        f.project_name,
        f.deployment_id,
        f.environment,
        '1 ' || i.incident_id AS place,
        'incident ' || CASE WHEN n.incident_key IS NULL OR n.incident_key = '' THEN '' ELSE n.incident_key || ' ' END
        || i.title || ' (linked by ' || i.evidence || ')' AS detail
    FROM failures AS f
    INNER JOIN chains AS c ON c.project_name = f.project_name AND c.deployment_id = f.deployment_id
    INNER JOIN dora.incidents AS i ON i.project_name = c.project_name AND i.deployment_id = c.cicd_deployment_id
    LEFT JOIN domain.incidents AS n ON n.id = i.incident_id
    UNION ALL
    SELECT
        f.project_name,
        f.deployment_id,
        f.environment,
        '2 ' || d.deployment_id AS place,
        'rolled back by ' || t.title AS detail
    FROM failures AS f
    INNER JOIN dora.deployments AS d
        ON d.project_name = f.project_name AND d.prev_deployment_id = f.deployment_id AND d.environment = f.environment
    INNER JOIN titles AS t ON t.id = d.deployment_id
    WHERE d.kind = 'rollback'
    UNION ALL
    SELECT
        f.project_name,
        f.deployment_id,
        f.environment,
        '3 ' || v.id AS place,
        'reverted by #' || cast(p.pull_request_key AS varchar) || ' ' || p.title AS detail
    FROM failures AS f
    INNER JOIN reverts AS v
        ON v.project_name = f.project_name
            AND strpos(v.reverted, chr(10) || f.deployment_commit_id || chr(10)) > 0
    INNER JOIN domain.pull_requests AS p ON p.id = v.id
    UNION ALL
    SELECT
        f.project_name,
        f.deployment_id,
        f.environment,
        '4' AS place,
        'it finished in FAILURE' AS detail
    FROM failures AS f
    WHERE f.outcome = 'FAILURE'
),

described AS (
    SELECT
        project_name,
        deployment_id,
        environment,
        string_agg(detail, '; ' ORDER BY place NULLS FIRST) AS details
    FROM details
    GROUP BY project_name, deployment_id, environment
)

SELECT
    f.project_name AS project,
    coalesce(r.name, f.repo_id) AS repository,
    coalesce(t.title, f.deployment_id) AS deployment,
    f.environment,
    f.finished_date AS finished,
    f.failure_evidence AS evidence,
    coalesce(d.details, '') AS details,
    f.changes,
    f.recovered_date AS recovered,
    round(f.recovery_seconds / 360.0) / 10 AS "recovery h",
    coalesce(
        f.recovery_source || CASE
            WHEN f.recovery_source = 'deployment' THEN coalesce(' ' || m.title, '')
            ELSE ''
        END,
        'not over'
    ) AS "mended by",
    f.url
FROM failures AS f
LEFT JOIN described AS d
    ON d.project_name = f.project_name AND d.deployment_id = f.deployment_id AND d.environment = f.environment
LEFT JOIN domain.repos AS r ON r.id = f.repo_id
LEFT JOIN titles AS t ON t.id = f.deployment_id
LEFT JOIN titles AS m ON m.id = f.recovery_deployment_id
ORDER BY f.finished_date DESC, f.project_name, f.deployment_id, f.environment
LIMIT $n

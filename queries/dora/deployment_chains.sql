-- Which production deployments follow each other, and which of them are rollbacks?
--
-- Grain:  one row per project and deployed commit in production that finished
-- Source: domain.cicd_deployment_commits, dora.commit_deployments; dora.project_pr_metrics for reactive changes
--
-- Rules:
-- * A chain is the successes of one scope, repository and production environment, by (end, start, id, hash).
-- * One found by pattern whose pipeline has a deployment of Bitbucket's own is the same release: it has no place in
--   the chain, and deployment_id and environment are those of Bitbucket's.
-- * redeploy deploys the same commit as the one before it. rollback deploys another commit that the chain had
--   before, as itself or within a later one. Going forward again, to what a rollback had left, is a deploy: the
--   commit came into the chain later than the one before, or is the deployment that added that one.
-- * A failed outcome went out when the next success of its chain is a rollback or ships a reactive change. Any other
--   may never have reached production.
--
-- incremental: project by project_name
WITH rows_of_projects AS (
    SELECT
        m.project_name,
        d.id,
        d.commit_sha,
        d.cicd_deployment_id,
        d.cicd_scope_id,
        d.repo_id,
        CASE WHEN d.repo_id <> '' THEN d.repo_id ELSE d.repo_url END AS repo_key,
        d.original_environment,
        d.result,
        d.started_date,
        d.finished_date,
        d.deployment_source = 'pattern' OR d.subtask_name = 'dora.generateDeploymentCommits' AS is_pattern,
        CASE WHEN d.pipeline_id = '' AND d.subtask_name = 'dora.generateDeploymentCommits'
                THEN d.cicd_deployment_id
            ELSE d.pipeline_id
        END AS pipeline_id
    FROM domain.cicd_deployment_commits AS d
    INNER JOIN domain.project_mapping AS m ON m."table" = 'cicd_scopes' AND m.row_id = d.cicd_scope_id
    WHERE d.environment = 'PRODUCTION' AND d.result IN ('SUCCESS', 'FAILURE') AND d.finished_date IS NOT NULL
),

natives AS (
    SELECT
        project_name,
        pipeline_id,
        min(cicd_deployment_id) AS cicd_deployment_id,
        (array_agg(original_environment ORDER BY cicd_deployment_id NULLS FIRST, original_environment NULLS FIRST))[1]
            AS original_environment
    FROM rows_of_projects
    WHERE NOT is_pattern AND pipeline_id <> ''
    GROUP BY project_name, pipeline_id
),

-- every row with the release that it belongs to
releases AS (
    SELECT
        r.*,
        r.is_pattern AND n.pipeline_id IS NOT NULL AS is_absorbed,
        CASE WHEN r.is_pattern AND n.pipeline_id IS NOT NULL
                THEN n.cicd_deployment_id
            ELSE r.cicd_deployment_id
        END AS deployment_id,
        CASE WHEN r.is_pattern AND n.pipeline_id IS NOT NULL
                THEN n.original_environment
            ELSE r.original_environment
        END AS environment
    FROM rows_of_projects AS r
    LEFT JOIN natives AS n ON n.project_name = r.project_name AND n.pipeline_id = r.pipeline_id
),

successes AS (
    SELECT
        *,
        row_number() OVER chain AS position,
        lag(commit_sha) OVER chain AS previous_sha,
        lag(deployment_id) OVER chain AS previous_deployment_id
    FROM releases
    WHERE NOT is_absorbed AND result = 'SUCCESS'
    WINDOW chain AS (
        PARTITION BY project_name, cicd_scope_id, repo_key, environment
        ORDER BY finished_date, started_date NULLS FIRST, id, commit_sha
    )
),

-- where in its chain a commit was deployed first, as itself and within another
origins AS (
    SELECT
        s.*,
        min(position) OVER (PARTITION BY project_name, cicd_scope_id, repo_key, environment, commit_sha) AS own_position
    FROM successes AS s
),

contained AS (
    SELECT
        s.project_name,
        s.id,
        s.commit_sha,
        min(f.position) AS position
    FROM successes AS s
    INNER JOIN dora.commit_deployments AS g
        ON g.cicd_scope_id = s.cicd_scope_id AND g.environment = s.environment AND g.commit_sha = s.commit_sha
    INNER JOIN successes AS f
        ON f.project_name = s.project_name AND f.id = g.deployment_commit_id AND f.cicd_scope_id = s.cicd_scope_id
            AND f.repo_key = s.repo_key AND f.environment = s.environment
    GROUP BY s.project_name, s.id, s.commit_sha
),

placed AS (
    SELECT
        s.*,
        CASE WHEN c.position < s.own_position THEN c.position ELSE s.own_position END AS first_position
    FROM origins AS s
    LEFT JOIN contained AS c ON c.project_name = s.project_name AND c.id = s.id AND c.commit_sha = s.commit_sha
),

compared AS (
    SELECT
        p.*,
        lag(first_position) OVER (
            PARTITION BY project_name, cicd_scope_id, repo_key, environment ORDER BY position
        ) AS previous_position
    FROM placed AS p
),

chained AS (
    SELECT
        c.*,
        CASE WHEN commit_sha = previous_sha THEN 'redeploy'
            WHEN first_position < position
                AND first_position <= previous_position
                AND NOT (first_position = previous_position AND first_position = own_position) THEN 'rollback'
            ELSE 'deploy'
        END AS kind
    FROM compared AS c
),

judged AS (
    SELECT
        c.project_name,
        c.id,
        c.commit_sha,
        c.position,
        c.previous_deployment_id,
        c.kind,
        c.first_position,
        coalesce(lead(c.kind) OVER chain = 'rollback', FALSE) AS is_rolled_back
    FROM chained AS c
    WINDOW chain AS (PARTITION BY c.project_name, c.cicd_scope_id, c.repo_key, c.environment ORDER BY c.position)
),

-- per row the next success of its chain, with which a failure may recover
followed AS (
    SELECT
        project_name,
        id,
        commit_sha,
        last_value(CASE WHEN result = 'SUCCESS' THEN id END IGNORE NULLS) OVER later AS next_success_id
    FROM releases
    WHERE NOT is_absorbed
    WINDOW later AS (
        PARTITION BY project_name, cicd_scope_id, repo_key, environment
        ORDER BY
            finished_date DESC NULLS LAST, started_date DESC NULLS LAST, id DESC NULLS LAST, commit_sha DESC NULLS LAST
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    )
),

reactive AS (
    SELECT DISTINCT
        r.project_name,
        r.deployment_id,
        r.environment
    FROM releases AS r
    INNER JOIN dora.project_pr_metrics AS p
        ON p.project_name = r.project_name AND p.attributed_deployment_commit_id = r.id
    WHERE p.attribution IN ('direct', 'contained') AND p.reactive_reason IS NOT NULL
),

mending AS (
    SELECT DISTINCT
        r.project_name,
        r.id
    FROM releases AS r
    LEFT JOIN judged AS j ON j.project_name = r.project_name AND j.id = r.id AND j.commit_sha = r.commit_sha
    LEFT JOIN reactive AS v
        ON v.project_name = r.project_name AND v.deployment_id = r.deployment_id AND v.environment = r.environment
    WHERE j.kind = 'rollback' OR v.deployment_id IS NOT NULL
)

SELECT
    r.project_name,
    r.id AS deployment_commit_id,
    r.commit_sha,
    r.cicd_deployment_id,
    r.deployment_id,
    r.environment,
    r.cicd_scope_id,
    r.repo_key AS repo_id,
    r.result AS outcome,
    r.finished_date,
    r.is_absorbed,
    j.position,
    j.first_position,
    coalesce(j.previous_deployment_id, '') AS prev_deployment_id,
    coalesce(j.kind, 'deploy') AS kind,
    coalesce(j.is_rolled_back, FALSE) AS is_rolled_back,
    coalesce(f.next_success_id, '') AS next_success_deployment_commit_id,
    r.result = 'SUCCESS' OR m.id IS NOT NULL AS went_out
FROM releases AS r
LEFT JOIN judged AS j ON j.project_name = r.project_name AND j.id = r.id AND j.commit_sha = r.commit_sha
LEFT JOIN followed AS f ON f.project_name = r.project_name AND f.id = r.id AND f.commit_sha = r.commit_sha
LEFT JOIN mending AS m ON m.project_name = r.project_name AND m.id = f.next_success_id

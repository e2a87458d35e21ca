-- With which deployment did each change, and each commit that it reverts, first reach production?
--
-- Grain:  one row per project, merged pull request and commit to attribute ('' for the change itself)
-- Source: dora.changes, dora.reverts, dora.commit_deployments, dora.devlake_deployments,
--         domain.cicd_deployment_commits, config.projects
--
-- Rules:
-- * A commit went to production with the first deployment of any production environment that has it: by the graph, by
--   the deployed commit itself, and by commits_diffs where the graph has nothing. A deployment that finished before the
--   merge is taken only if there is no other.
-- * The first known deployment of an environment (position 1) has all history: a change merged baseline_days or longer
--   before its end may have been there before. Such a change is baseline, unless it is the deployed commit.
-- * A promotion is not attributed: the changes whose commits it contains are, each to the first deployment that has its
--   commit.
--
-- incremental: project by project_name
WITH deployments AS (
    SELECT
        m.project_name,
        d.id,
        d.cicd_deployment_id,
        d.repo_id,
        d.commit_sha,
        d.finished_date
    FROM domain.cicd_deployment_commits AS d
    INNER JOIN domain.project_mapping AS m ON m."table" = 'cicd_scopes' AND m.row_id = d.cicd_scope_id
    WHERE d.environment = 'PRODUCTION' AND d.result = 'SUCCESS'
),

-- where commits were deployed: by the graph, as the deployed commit itself, in a range
places AS (
    SELECT
        d.project_name,
        g.repo_id,
        g.commit_sha,
        d.id,
        d.cicd_deployment_id,
        d.finished_date,
        d.commit_sha = g.commit_sha AS is_direct,
        g.position,
        1 AS source_rank
    FROM dora.commit_deployments AS g
    INNER JOIN deployments AS d ON d.id = g.deployment_commit_id
    UNION ALL
    SELECT
        project_name,
        repo_id,
        commit_sha,
        id,
        cicd_deployment_id,
        finished_date,
        TRUE AS is_direct,
        NULL AS position,
        2 AS source_rank
    FROM deployments
    UNION ALL
    SELECT
        project_name,
        '' AS repo_id,
        commit_sha,
        deployment_commit_id AS id,
        deployment_id AS cicd_deployment_id,
        finished_date,
        deployed_sha = commit_sha AS is_direct,
        NULL AS position,
        3 AS source_rank
    FROM dora.devlake_deployments
),

-- the commits to attribute, and since when they were ready to deploy
asked AS (
    SELECT
        c.project_name,
        c.id,
        '' AS reverted_sha,
        c.repo_id AS base_repo_id,
        c.change_sha AS commit_sha,
        c.merged_date AS ready_date,
        c.merged_date
    FROM dora.changes AS c
    WHERE NOT c.is_promotion
    UNION ALL
    SELECT
        m.project_name,
        r.pull_request_id AS id,
        r.reverted_commit_sha AS reverted_sha,
        r.repo_id AS base_repo_id,
        r.reverted_commit_sha AS commit_sha,
        r.reverted_date AS ready_date,
        r.merged_date
    FROM dora.reverts AS r
    INNER JOIN domain.project_mapping AS m ON m."table" = 'repos' AND m.row_id = r.repo_id
    INNER JOIN dora.changes AS c ON c.project_name = m.project_name AND c.id = r.pull_request_id
    WHERE r.effect = 'revert' AND NOT c.is_promotion
),

candidates AS (
    SELECT
        a.project_name,
        a.id,
        a.reverted_sha,
        a.ready_date,
        a.merged_date,
        p.id AS deployment_commit_id,
        p.cicd_deployment_id,
        p.finished_date,
        p.is_direct,
        p.position,
        p.source_rank,
        min(p.source_rank) OVER (PARTITION BY a.project_name, a.id, a.reverted_sha) AS best_source
    FROM asked AS a
    INNER JOIN places AS p ON p.project_name = a.project_name AND p.commit_sha = a.commit_sha
    WHERE p.finished_date IS NOT NULL AND a.commit_sha <> '' AND p.repo_id IN (a.base_repo_id, '')
),

first_deployments AS (
    SELECT *
    FROM candidates
    WHERE best_source > 1 OR source_rank < 3
    QUALIFY row_number() OVER (
            PARTITION BY project_name, id, reverted_sha
            ORDER BY
                CASE WHEN finished_date < ready_date THEN 1 ELSE 0 END, finished_date,
                CASE WHEN is_direct THEN 0 ELSE 1 END, cicd_deployment_id, deployment_commit_id, source_rank
        ) = 1
)

SELECT
    f.project_name,
    f.id,
    f.reverted_sha,
    f.deployment_commit_id,
    f.cicd_deployment_id AS deployment_id,
    f.finished_date,
    CASE WHEN f.source_rank = 1 THEN 'graph' WHEN f.source_rank = 2 THEN 'commit' ELSE 'diffs' END AS source,
    CASE WHEN f.is_direct THEN 'direct'
        WHEN f.position = 1
            AND (
                f.ready_date IS NULL
                OR extract(EPOCH FROM f.finished_date) - extract(EPOCH FROM f.ready_date)
                >= coalesce(s.baseline_days, 30) * 86400
            ) THEN 'baseline'
        ELSE 'contained'
    END AS attribution,
    f.finished_date <= f.merged_date
    AND extract(EPOCH FROM f.merged_date) - extract(EPOCH FROM f.finished_date)
    <= coalesce(s.rework_days, 14) * 86400 AS is_recent
FROM first_deployments AS f
LEFT JOIN config.projects AS s ON s.name = f.project_name

-- What did each production deployment ship, did it fail, and when did it recover?
--
-- Grain:  one row per project, deployment and production environment that finished
-- Source: dora.deployment_chains, dora.commit_deployments, dora.project_pr_metrics, dora.incidents;
--         domain.pull_request_issues for what fixed an incident
--
-- Rules:
-- * One row of a release that deployed several repositories: it failed if one failed, finished with the last, is a
--   rollback if one is, a redeploy if all are. Kinds, chains and releases found twice: see dora.deployment_chains.
-- * A release is the deployment of one pipeline, or one deployment without a pipeline, to each production environment:
--   its first success there is one release with the first successes elsewhere, its second one with the second ones, and
--   a failure one with the success that follows it. Rollbacks are releases of their own.
-- * Changes are the pull requests whose first production deployment it is (baseline apart). It is rework if it is
--   a rollback, or if half or more of its changes are reactive.
-- * It is known to have failed by: incident, one is linked to it; rollback, the next in its chain goes back; reactive
--   change, a change that it shipped was reverted within rework_days; failed outcome, it finished in FAILURE and the
--   next success of its chain is a rollback or ships a reactive change. A failed outcome alone is no evidence: it may
--   never have reached production.
-- * It recovered with the first of: the next rollback to before it; the deployment that shipped the revert, or a
--   change that names its incident and was opened after it began; the end of its last incident, when all are over;
--   after a failed outcome that went out, the next success.
-- * Recovery is counted from the deployment's end; from its start where its outcome is FAILURE, since it may have
--   done harm from then on (from its end where the start is not known).
--
-- incremental: project by project_name
WITH chain_rows AS (
    SELECT
        c.*,
        d.repo_id AS domain_repo_id,
        d.pipeline_id,
        d.ref_name,
        d.url,
        d.created_date,
        d.started_date,
        d.duration_sec,
        row_number() OVER (
            PARTITION BY c.project_name, c.deployment_id, c.environment
            ORDER BY c.repo_id, c.deployment_commit_id, c.commit_sha
        ) AS row_in_release
    FROM dora.deployment_chains AS c
    INNER JOIN domain.cicd_deployment_commits AS d ON d.id = c.deployment_commit_id AND d.commit_sha = c.commit_sha
    WHERE NOT c.is_absorbed
),

releases AS (
    SELECT
        project_name,
        deployment_id,
        environment,
        max(CASE WHEN row_in_release = 1 THEN cicd_scope_id END) AS cicd_scope_id,
        max(CASE WHEN row_in_release = 1 THEN domain_repo_id END) AS repo_id,
        max(CASE WHEN row_in_release = 1 THEN deployment_commit_id END) AS deployment_commit_id,
        max(CASE WHEN row_in_release = 1 THEN commit_sha END) AS commit_sha,
        max(CASE WHEN row_in_release = 1 THEN pipeline_id END) AS pipeline_id,
        max(CASE WHEN row_in_release = 1 THEN ref_name END) AS ref_name,
        max(CASE WHEN row_in_release = 1 THEN url END) AS url,
        max(CASE WHEN row_in_release = 1 THEN position END) AS position,
        max(CASE WHEN row_in_release = 1 THEN prev_deployment_id END) AS prev_deployment_id,
        min(outcome) AS outcome,
        min(created_date) AS created_date,
        min(started_date) AS started_date,
        max(finished_date) AS finished_date,
        max(duration_sec) AS duration_sec,
        CASE WHEN bool_or(kind = 'rollback') THEN 'rollback'
            WHEN bool_and(kind = 'redeploy') THEN 'redeploy'
            ELSE 'deploy'
        END AS kind,
        bool_or(is_rolled_back) AS is_rolled_back
    FROM chain_rows
    GROUP BY project_name, deployment_id, environment
),

-- the release of each deployment commit, and of each deployment
by_commit AS (
    SELECT
        project_name,
        deployment_commit_id,
        min(deployment_id) AS deployment_id,
        min(environment) AS environment,
        min(position) AS position
    FROM dora.deployment_chains
    GROUP BY project_name, deployment_commit_id
),

by_deployment AS (
    SELECT DISTINCT
        project_name,
        cicd_deployment_id,
        deployment_id
    FROM dora.deployment_chains
),

commits AS (
    SELECT
        b.project_name,
        b.deployment_id,
        b.environment,
        count(DISTINCT g.commit_sha) AS commits
    FROM dora.commit_deployments AS g
    INNER JOIN by_commit AS b ON b.deployment_commit_id = g.deployment_commit_id
    WHERE b.position > 1
    GROUP BY b.project_name, b.deployment_id, b.environment
),

changes AS (
    SELECT
        b.project_name,
        b.deployment_id,
        b.environment,
        count(*) AS changes,
        count(p.reactive_reason) AS reactive_changes,
        count(*) FILTER (WHERE p.exclusion_reason IS NULL) AS lead_time_n,
        median(cast(p.lead_time_seconds AS double)) FILTER (WHERE p.exclusion_reason IS NULL) AS lead_time_median,
        percentile_cont(0.9) WITHIN GROUP (ORDER BY cast(p.lead_time_seconds AS double))
        FILTER (WHERE p.exclusion_reason IS NULL) AS lead_time_p90,
        sum(p.lead_time_seconds) FILTER (WHERE p.exclusion_reason IS NULL) AS lead_time_sum
    FROM dora.project_pr_metrics AS p
    INNER JOIN by_commit AS b
        ON b.project_name = p.project_name AND b.deployment_commit_id = p.attributed_deployment_commit_id
    WHERE p.attribution IN ('direct', 'contained')
    GROUP BY b.project_name, b.deployment_id, b.environment
),

incidents AS (
    SELECT
        b.project_name,
        b.deployment_id,
        count(*) AS incidents,
        -- an end before its own start is none
        CASE WHEN count(*) = count(CASE WHEN i.resolution_date < i.created_date THEN NULL ELSE i.resolution_date END)
                THEN max(i.resolution_date)
        END AS all_over
    FROM dora.incidents AS i
    INNER JOIN by_deployment AS b ON b.project_name = i.project_name AND b.cicd_deployment_id = i.deployment_id
    GROUP BY b.project_name, b.deployment_id
),

devlake_incidents AS (
    SELECT DISTINCT
        b.project_name,
        b.deployment_id
    FROM dora.project_incident_deployment_relationships AS r
    INNER JOIN by_deployment AS b ON b.project_name = r.project_name AND b.cicd_deployment_id = r.deployment_id
),

-- each deployment whose changes a pull request reverts
reverts AS (
    SELECT
        p.project_name,
        p.attribution,
        p.attributed_deployment_commit_id,
        p.deployed_date,
        b.deployment_id,
        b.environment
    FROM (
        SELECT
            project_name,
            attribution,
            attributed_deployment_commit_id,
            deployed_date,
            unnest(string_to_array(
                coalesce(nullif(reverted_deployment_commit_ids, ''), reverted_deployment_commit_id), chr(10)
            )) AS reverted_id
        FROM dora.project_pr_metrics
    ) AS p
    INNER JOIN by_commit AS b ON b.project_name = p.project_name AND b.deployment_commit_id = p.reverted_id
    WHERE p.reverted_id <> ''
),

reverted AS (
    SELECT DISTINCT
        project_name,
        deployment_id,
        environment
    FROM reverts
),

failed_outcomes AS (
    SELECT
        c.project_name,
        c.deployment_id,
        c.environment,
        min(n.deployment_id) AS mending_id,
        min(n.finished_date) AS mended_date
    FROM chain_rows AS c
    INNER JOIN chain_rows AS n
        ON n.project_name = c.project_name AND n.deployment_commit_id = c.next_success_deployment_commit_id
    WHERE c.outcome = 'FAILURE' AND c.went_out
    GROUP BY c.project_name, c.deployment_id, c.environment
),

failed AS (
    SELECT
        r.project_name,
        r.deployment_id,
        r.environment,
        r.finished_date,
        coalesce(i.incidents, 0) AS incidents,
        i.all_over,
        nullif(concat_ws(
            ', ',
            CASE WHEN i.incidents > 0 THEN 'incident' END,
            CASE WHEN r.is_rolled_back THEN 'rollback' END,
            CASE WHEN v.deployment_id IS NOT NULL THEN 'reactive change' END,
            CASE WHEN o.deployment_id IS NOT NULL THEN 'failed outcome' END
        ), '') AS failure_evidence
    FROM releases AS r
    LEFT JOIN incidents AS i ON i.project_name = r.project_name AND i.deployment_id = r.deployment_id
    LEFT JOIN reverted AS v
        ON v.project_name = r.project_name AND v.deployment_id = r.deployment_id AND v.environment = r.environment
    LEFT JOIN failed_outcomes AS o
        ON o.project_name = r.project_name AND o.deployment_id = r.deployment_id AND o.environment = r.environment
),

-- possible recoveries of a release: a rollback to before it, a revert, a fix of its incident, the next success
mends AS (
    SELECT
        c.project_name,
        c.deployment_id,
        c.environment,
        b.deployment_id AS mending_id,
        b.finished_date AS mended_date
    FROM chain_rows AS c
    INNER JOIN failed AS f
        ON f.project_name = c.project_name AND f.deployment_id = c.deployment_id AND f.environment = c.environment
    INNER JOIN chain_rows AS b
        ON b.project_name = c.project_name AND b.cicd_scope_id = c.cicd_scope_id AND b.repo_id = c.repo_id
            AND b.environment = c.environment
    WHERE f.failure_evidence IS NOT NULL
        AND b.kind = 'rollback' AND b.position > c.position
        AND b.first_position <= c.position AND b.commit_sha <> c.commit_sha
    UNION ALL
    SELECT
        v.project_name,
        v.deployment_id,
        v.environment,
        b.deployment_id AS mending_id,
        v.deployed_date AS mended_date
    FROM reverts AS v
    INNER JOIN by_commit AS b
        ON b.project_name = v.project_name AND b.deployment_commit_id = v.attributed_deployment_commit_id
    WHERE v.attribution IN ('direct', 'contained')
    UNION ALL
    SELECT
        d.project_name,
        d.deployment_id,
        r.environment,
        b.deployment_id AS mending_id,
        p.deployed_date AS mended_date
    FROM dora.incidents AS i
    INNER JOIN domain.pull_request_issues AS l ON l.issue_id = i.incident_id
    INNER JOIN dora.project_pr_metrics AS p ON p.project_name = i.project_name AND p.id = l.pull_request_id
    INNER JOIN by_deployment AS d ON d.project_name = i.project_name AND d.cicd_deployment_id = i.deployment_id
    INNER JOIN releases AS r ON r.project_name = d.project_name AND r.deployment_id = d.deployment_id
    INNER JOIN by_commit AS b
        ON b.project_name = p.project_name AND b.deployment_commit_id = p.attributed_deployment_commit_id
    WHERE p.attribution IN ('direct', 'contained') AND p.pr_created_date > i.created_date
    UNION ALL
    SELECT
        project_name,
        deployment_id,
        environment,
        mending_id,
        mended_date
    FROM failed_outcomes
),

first_mends AS (
    SELECT
        m.project_name,
        m.deployment_id,
        m.environment,
        m.mending_id,
        m.mended_date
    FROM mends AS m
    INNER JOIN failed AS f
        ON f.project_name = m.project_name AND f.deployment_id = m.deployment_id AND f.environment = m.environment
    WHERE m.mended_date >= f.finished_date AND m.mending_id <> m.deployment_id
    QUALIFY row_number() OVER (
            PARTITION BY m.project_name, m.deployment_id, m.environment ORDER BY m.mended_date, m.mending_id
        ) = 1
),

recovered AS (
    SELECT
        f.project_name,
        f.deployment_id,
        f.environment,
        f.incidents,
        f.failure_evidence,
        CASE WHEN f.failure_evidence IS NULL THEN NULL
            WHEN m.mended_date <= f.all_over OR f.all_over IS NULL THEN m.mended_date
            ELSE f.all_over
        END AS recovered_date,
        CASE WHEN f.failure_evidence IS NULL THEN NULL
            WHEN m.mended_date <= f.all_over OR (f.all_over IS NULL AND m.mended_date IS NOT NULL) THEN 'deployment'
            WHEN f.all_over IS NOT NULL THEN 'incident'
        END AS recovery_source,
        CASE WHEN f.failure_evidence IS NULL THEN '' ELSE coalesce(m.mending_id, '') END AS recovery_deployment_id
    FROM failed AS f
    LEFT JOIN first_mends AS m
        ON m.project_name = f.project_name AND m.deployment_id = f.deployment_id AND m.environment = f.environment
),

described AS (
    SELECT
        r.*,
        coalesce(c.commits, 0) AS commits,
        coalesce(s.changes, 0) AS changes,
        coalesce(s.reactive_changes, 0) AS reactive_changes,
        coalesce(s.lead_time_n, 0) AS lead_time_n,
        s.lead_time_median,
        s.lead_time_p90,
        s.lead_time_sum,
        f.incidents,
        f.failure_evidence,
        f.recovered_date,
        f.recovery_source,
        f.recovery_deployment_id,
        d.deployment_id IS NOT NULL AS devlake_has_incident,
        CASE WHEN r.kind = 'rollback' THEN 'rollback'
            WHEN s.reactive_changes > 0 AND s.reactive_changes * 2 >= s.changes THEN 'reactive changes'
        END AS rework_reason
    FROM releases AS r
    LEFT JOIN commits AS c
        ON c.project_name = r.project_name AND c.deployment_id = r.deployment_id AND c.environment = r.environment
    LEFT JOIN changes AS s
        ON s.project_name = r.project_name AND s.deployment_id = r.deployment_id AND s.environment = r.environment
    LEFT JOIN recovered AS f
        ON f.project_name = r.project_name AND f.deployment_id = r.deployment_id AND f.environment = r.environment
    LEFT JOIN devlake_incidents AS d ON d.project_name = r.project_name AND d.deployment_id = r.deployment_id
),

rollouts AS (
    SELECT
        d.*,
        CASE WHEN pipeline_id <> '' THEN pipeline_id ELSE deployment_id END AS origin,
        kind = 'rollback' AS is_rollback,
        coalesce(sum(CASE WHEN outcome = 'SUCCESS' THEN 1 ELSE 0 END) OVER (
            PARTITION BY
                project_name,
                cicd_scope_id,
                CASE WHEN pipeline_id <> '' THEN pipeline_id ELSE deployment_id END,
                environment
            ORDER BY finished_date NULLS FIRST, started_date NULLS FIRST, deployment_id NULLS FIRST
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ), 0) AS rollout
    FROM described AS d
),

numbered AS (
    SELECT
        r.*,
        row_number() OVER (
            PARTITION BY project_name, cicd_scope_id, origin, rollout, is_rollback
            ORDER BY finished_date, deployment_id, environment
        ) AS place,
        CASE WHEN outcome = 'SUCCESS' THEN row_number() OVER (
                    PARTITION BY project_name, cicd_scope_id, origin, rollout, is_rollback, outcome
                    ORDER BY finished_date, deployment_id, environment
                )
        END AS release_position
    FROM rollouts AS r
),

released AS (
    SELECT
        n.*,
        max(CASE WHEN place = 1 THEN deployment_id END) OVER (
            PARTITION BY project_name, cicd_scope_id, origin, rollout, is_rollback
        ) AS release_id
    FROM numbered AS n
)

SELECT
    project_name,
    deployment_id,
    environment,
    cicd_scope_id,
    repo_id,
    deployment_commit_id,
    commit_sha,
    pipeline_id,
    ref_name,
    url,
    outcome,
    created_date,
    started_date,
    finished_date,
    duration_sec,
    position,
    prev_deployment_id,
    kind,
    commits,
    changes,
    reactive_changes,
    rework_reason IS NOT NULL AS is_rework,
    rework_reason,
    lead_time_n,
    lead_time_median AS lead_time_median_seconds,
    lead_time_p90 AS lead_time_p90_seconds,
    cast(lead_time_sum AS double) / nullif(lead_time_n, 0) AS lead_time_mean_seconds,
    incidents,
    failure_evidence IS NOT NULL AS is_failed,
    failure_evidence,
    recovered_date,
    recovery_deployment_id,
    recovery_source,
    CASE WHEN recovered_date >= CASE WHEN outcome = 'FAILURE' THEN coalesce(started_date, finished_date)
                ELSE finished_date
            END
            THEN cast(
                    floor(extract(EPOCH FROM recovered_date))
                    - floor(extract(EPOCH FROM CASE WHEN outcome = 'FAILURE' THEN coalesce(started_date, finished_date)
                        ELSE finished_date
                    END)) AS bigint
                )
    END AS recovery_seconds,
    devlake_has_incident,
    release_id,
    release_position
FROM released

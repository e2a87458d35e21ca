-- How long did each merged pull request take to production, and does it count?
--
-- Grain:  one row per project and merged pull request into one of its repositories
-- Source: dora.changes, dora.pull_request_milestones, dora.devlake_deployments, dora.change_attributions;
--         domain.pull_requests; dora.reverts, dora.revert_mentions, domain.incidents and config.rules for why it was made
--
-- Rules of DevLake's columns:
-- * Minutes are rounded up, and null below zero; less than a minute below zero is 0. pr_cycle_time takes missing parts
--   as 0.
-- * The deployment is that of dora.devlake_deployments for the merge commit.
--
-- Rules of bitlake's columns:
-- * The deployment is that of dora.change_attributions. If it finished before the merge, the change does not count.
-- * The start is the first commit, or the creation where that is earlier. Commits that an earlier merged pull request
--   contains belong to that one; of a change without any commit of its own all count. A milestone out of order counts
--   as the one before it (the merge at the latest), so the five parts add up to lead_time_seconds.
-- * A promotion (pull_requests.promotion_evidence) is not deployed, reverts nothing and reacts to nothing.
-- * reactive_reason is the first that holds of: revert, the change reverts (dora.reverts) a commit that reached
--   production in the rework_days before the merge; incident, it names one that began before it was opened; hotfix, its
--   branch or title matches the rules' hotfix_pattern. A change that restores what a revert removed has none, unless it
--   reverts another.
--
-- incremental: project by project_name
WITH pull_requests AS (
    SELECT
        c.project_name,
        p.id,
        p.base_repo_id,
        p.author_id,
        p.title,
        p.head_ref,
        p.is_draft,
        p.created_date,
        p.merged_date,
        p.merged_date_source,
        p._raw_data_params,
        p._raw_data_table,
        p.merge_commit_sha,
        c.change_sha,
        NOT c.is_known AS is_unknown,
        p.first_own_commit_date,
        c.is_promotion
    FROM dora.changes AS c
    INNER JOIN domain.pull_requests AS p ON p.id = c.id
),

-- of the commits that a change reverts, the one that production got last, if within the time for rework; and the
-- deployments of all of them
reverted AS (
    SELECT
        project_name,
        id,
        (array_agg(reverted_sha ORDER BY finished_date DESC NULLS LAST, reverted_sha NULLS FIRST))[1] AS sha,
        (array_agg(deployment_commit_id ORDER BY finished_date DESC NULLS LAST, reverted_sha NULLS FIRST))[1]
            AS deployment_commit_id,
        array_to_string(
            array_agg(DISTINCT deployment_commit_id ORDER BY deployment_commit_id NULLS FIRST), chr(10)
        ) AS deployment_commit_ids
    FROM dora.change_attributions
    WHERE reverted_sha <> '' AND attribution <> 'baseline' AND is_recent
    GROUP BY project_name, id
),

reapplies AS (
    SELECT DISTINCT pull_request_id
    FROM dora.revert_mentions
    WHERE source = 'title' AND wording = 'reapply'
    UNION
    SELECT pull_request_id FROM dora.reverts WHERE effect = 'reapply'
),

incident_fixes AS (
    SELECT
        l.pull_request_id,
        min(i.created_date) AS first_incident_date
    FROM domain.pull_request_issues AS l
    INNER JOIN domain.incidents AS i ON i.id = l.issue_id
    WHERE l.issue_id <> ''
    GROUP BY l.pull_request_id
),

repository_rules AS (
    SELECT
        repo_id,
        min(rules) AS rules
    FROM config.repositories
    GROUP BY repo_id
),

described AS (
    SELECT
        c.*,
        coalesce(m.first_commit_sha, '') AS first_commit_sha,
        m.first_commit_authored_date,
        coalesce(m.first_review_id, '') AS first_review_id,
        m.first_review_date AS first_comment_date,
        CASE WHEN d.finished_date IS NOT NULL THEN d.deployment_commit_id ELSE '' END AS devlake_deployment_commit_id,
        d.finished_date AS devlake_deployed_date,
        coalesce(b.is_bot, FALSE) AS author_is_bot,
        coalesce(a.attribution, 'none') AS attribution,
        coalesce(a.deployment_id, '') AS attributed_deployment_id,
        coalesce(a.deployment_commit_id, '') AS attributed_deployment_commit_id,
        a.finished_date AS deployed_date,
        coalesce(a.source, '') AS deployed_date_source,
        coalesce(m.first_human_comment_id, '') AS first_human_comment_id,
        m.first_human_comment_date,
        coalesce(m.first_approval_id, '') AS first_approval_id,
        m.first_approval_date,
        m.first_response_date,
        coalesce(m.first_response_kind, '') AS first_response_kind,
        coalesce(v.sha, '') AS reverted_commit_sha,
        coalesce(v.deployment_commit_id, '') AS reverted_deployment_commit_id,
        coalesce(v.deployment_commit_ids, '') AS reverted_deployment_commit_ids,
        CASE WHEN c.is_promotion THEN NULL
            WHEN v.sha IS NOT NULL THEN 'revert'
            WHEN ra.pull_request_id IS NOT NULL THEN NULL
            WHEN i.first_incident_date < c.created_date THEN 'incident'
            WHEN regexp_like(c.head_ref, u.hotfix_pattern) OR regexp_like(c.title, u.hotfix_pattern) THEN 'hotfix'
        END AS reactive_reason,
        coalesce(c.first_own_commit_date, m.first_commit_authored_date) AS first_change_date,
        coalesce(
            coalesce(c.first_own_commit_date, m.first_commit_authored_date) <= coalesce(c.created_date, c.merged_date)
            AND coalesce(c.first_own_commit_date, m.first_commit_authored_date) <= c.merged_date, FALSE)
            AS starts_with_commit
    FROM pull_requests AS c
    LEFT JOIN dora.pull_request_milestones AS m ON m.pull_request_id = c.id
    LEFT JOIN dora.devlake_deployments AS d
        ON d.project_name = c.project_name AND d.commit_sha = c.merge_commit_sha AND c.merge_commit_sha <> ''
    LEFT JOIN dora.change_attributions AS a
        ON a.project_name = c.project_name AND a.id = c.id AND a.reverted_sha = ''
    LEFT JOIN reverted AS v ON v.project_name = c.project_name AND v.id = c.id
    LEFT JOIN domain.accounts AS b ON b.id = c.author_id
    LEFT JOIN reapplies AS ra ON ra.pull_request_id = c.id
    LEFT JOIN incident_fixes AS i ON i.pull_request_id = c.id
    LEFT JOIN repository_rules AS rr ON rr.repo_id = c.base_repo_id
    LEFT JOIN config.rules AS u ON u.rules = coalesce(rr.rules, 'default')
),

-- milestones in order: start, opened, responded, approved, merged
started AS (
    SELECT
        d.*,
        CASE WHEN starts_with_commit THEN first_change_date
            WHEN created_date < merged_date THEN created_date
            ELSE merged_date
        END AS start_date,
        CASE WHEN created_date < merged_date THEN created_date ELSE merged_date END AS opened
    FROM described AS d
),

responded AS (
    SELECT
        s.*,
        CASE WHEN first_response_date IS NULL OR first_response_date > merged_date THEN merged_date
            WHEN first_response_date < opened THEN opened
            ELSE first_response_date
        END AS responded
    FROM started AS s
),

approved AS (
    SELECT
        r.*,
        CASE WHEN first_approval_date IS NULL OR first_approval_date > merged_date THEN merged_date
            WHEN first_approval_date < responded THEN responded
            ELSE first_approval_date
        END AS approved,
        attribution IN ('direct', 'contained') AND deployed_date >= merged_date AS is_deployed
    FROM responded AS r
),

seconds AS (
    SELECT
        a.*,
        cast(floor(extract(EPOCH FROM start_date)) AS bigint) AS start_second,
        cast(floor(extract(EPOCH FROM opened)) AS bigint) AS opened_second,
        cast(floor(extract(EPOCH FROM responded)) AS bigint) AS responded_second,
        cast(floor(extract(EPOCH FROM approved)) AS bigint) AS approved_second,
        cast(floor(extract(EPOCH FROM merged_date)) AS bigint) AS merged_second,
        CASE WHEN is_deployed
                THEN cast(floor(extract(EPOCH FROM deployed_date)) AS bigint)
        END AS deployed_second,
        -- microseconds, which a double holds exactly
        round((extract(EPOCH FROM created_date) - extract(EPOCH FROM first_commit_authored_date)) * 1000000) AS coding,
        round((extract(EPOCH FROM first_comment_date) - extract(EPOCH FROM created_date)) * 1000000) AS pickup,
        round((extract(EPOCH FROM merged_date) - extract(EPOCH FROM first_comment_date)) * 1000000) AS review,
        round((extract(EPOCH FROM merged_date) - extract(EPOCH FROM created_date)) * 1000000) AS process,
        round((extract(EPOCH FROM devlake_deployed_date) - extract(EPOCH FROM merged_date)) * 1000000) AS deploy
    FROM approved AS a
),

minutes AS (
    SELECT
        s.*,
        CASE WHEN coding > -60000000 THEN cast(ceil(coding / 60000000.0) AS bigint) END AS pr_coding_time,
        CASE WHEN pickup > -60000000 THEN cast(ceil(pickup / 60000000.0) AS bigint) END AS pr_pickup_time,
        CASE WHEN review > -60000000 THEN cast(ceil(review / 60000000.0) AS bigint) END AS pr_review_time,
        CASE WHEN process > -60000000 THEN cast(ceil(process / 60000000.0) AS bigint) END AS pr_process_time,
        CASE WHEN deploy > -60000000 THEN cast(ceil(deploy / 60000000.0) AS bigint) END AS pr_deploy_time
    FROM seconds AS s
)

SELECT
    id,
    project_name,
    first_commit_sha,
    pr_coding_time,
    first_review_id,
    pr_pickup_time,
    pr_review_time,
    devlake_deployment_commit_id AS deployment_commit_id,
    pr_deploy_time,
    coalesce(pr_coding_time, 0) + coalesce(pr_process_time, 0) + coalesce(pr_deploy_time, 0) AS pr_cycle_time,
    first_commit_authored_date,
    first_comment_date,
    created_date AS pr_created_date,
    merged_date AS pr_merged_date,
    devlake_deployed_date AS pr_deployed_date,
    _raw_data_params,
    _raw_data_table,
    base_repo_id AS repo_id,
    author_id,
    author_is_bot,
    is_draft,
    change_sha AS merge_commit_sha,
    attribution,
    CASE WHEN is_promotion THEN 'promotion'
        WHEN author_is_bot THEN 'bot'
        WHEN attribution = 'none' AND is_unknown THEN 'unknown commit'
        WHEN attribution = 'none' THEN 'not deployed'
        WHEN attribution = 'baseline' THEN 'baseline'
        WHEN deployed_date < start_date THEN 'negative lead time'
        WHEN deployed_date < merged_date THEN 'deployed before merge'
    END AS exclusion_reason,
    attributed_deployment_id,
    attributed_deployment_commit_id,
    deployed_date,
    attribution = 'direct' AS is_trunk_head,
    start_date,
    CASE WHEN starts_with_commit THEN 'first_commit' ELSE 'created' END AS start_source,
    first_human_comment_id,
    first_human_comment_date,
    first_approval_id,
    first_approval_date,
    first_response_date,
    first_response_kind,
    merged_date_source,
    deployed_date_source,
    reactive_reason,
    opened_second - start_second AS coding_seconds,
    responded_second - opened_second AS pickup_seconds,
    approved_second - responded_second AS review_seconds,
    merged_second - approved_second AS merge_seconds,
    deployed_second - merged_second AS deploy_seconds,
    deployed_second - start_second AS lead_time_seconds,
    reverted_commit_sha,
    reverted_deployment_commit_id,
    reverted_deployment_commit_ids
FROM minutes

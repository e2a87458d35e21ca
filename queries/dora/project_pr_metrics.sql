-- How long did each merged pull request take to production, and does it count?
--
-- Grain:  one row per project and merged pull request into one of its repositories
-- Source: domain.pull_requests with their commits and comments; domain.cicd_deployment_commits,
--         domain.commits_diffs and dora.commit_deployments for where it went; dora.reverts, domain.incidents
--         and config.rules for why it was made
--
-- Rules of DevLake's columns:
-- * Minutes are rounded up, and null below zero; less than a minute below zero is 0.
-- * The first commit is the one authored first; the first review the first comment or review by anyone but
--   the author (anyone where the author is unknown; a comment without an account is somebody else's). Ties: by
--   hash, by id.
-- * The deployment is, among successful PRODUCTION deployments of the project with a success before them whose
--   range (domain.commits_diffs) holds the merge commit, the one that started first (unknown starts first of
--   all, then by id); it counts only if it has ended. pr_cycle_time takes missing parts as 0.
--
-- Rules of bitlake's columns:
-- * A change is its merge commit; where that is unknown, the newest of its commits that the repository has.
-- * It went to production with the first deployment of any production environment that has the commit: by the
--   graph, by the deployed commit itself, and by commits_diffs where the graph says nothing. One that ended
--   before the merge is taken only if there is no other, and then the change does not count.
-- * The first known deployment of an environment (position 1) has all history: a change merged baseline_days
--   or longer before its end may have been there before. Such a change is baseline, unless it is that commit.
-- * The start is the first commit, or the creation where that is earlier. Commits that a pull request merged before
--   had brought are that one's; of a change without any of its own all count. A milestone out of order counts as the
--   one before it (the merge at the latest), so the five parts add up to lead_time_seconds.
-- * A promotion (pull_requests.promotion_evidence) is not deployed, reverts nothing and reacts to nothing: the changes
--   whose commits it carries do, each in the first deployment that has its commit.
-- * reactive_reason is the first that holds of: revert, it takes back (dora.reverts) what production got in the
--   rework_days before it was merged; incident, it names one that began before it was opened; hotfix, its branch
--   or title matches the rules' hotfix_pattern. A change that restores what a revert took back has none, unless it
--   takes back something else.
WITH pull_requests AS (
    SELECT
        m.project_name,
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
        p.merge_commit_sha_match,
        p.first_own_commit_date,
        p.promotion_evidence IS NOT NULL AS is_promotion
    FROM domain.pull_requests AS p
    INNER JOIN domain.project_mapping AS m ON m."table" = 'repos' AND m.row_id = p.base_repo_id
    WHERE p.merged_date IS NOT NULL
),

first_commits AS (
    SELECT
        pull_request_id,
        commit_sha,
        commit_authored_date
    FROM domain.pull_request_commits
    QUALIFY row_number() OVER (
            PARTITION BY pull_request_id ORDER BY commit_authored_date NULLS LAST, commit_sha
        ) = 1
),

first_reviews AS (
    SELECT
        c.pull_request_id,
        c.id,
        c.created_date
    FROM domain.pull_request_comments AS c
    INNER JOIN domain.pull_requests AS p ON p.id = c.pull_request_id
    WHERE coalesce(p.author_id, '') = '' OR c.account_id <> p.author_id
    QUALIFY row_number() OVER (PARTITION BY c.pull_request_id ORDER BY c.created_date NULLS LAST, c.id) = 1
),

-- people's answers: neither the author's nor a bot's
answers AS (
    SELECT
        c.pull_request_id,
        c.id,
        c.created_date,
        CASE WHEN c.type = 'REVIEW' AND c.status = 'APPROVED' THEN 'approval'
            WHEN c.type = 'REVIEW' AND c.status = 'CHANGES_REQUESTED' THEN 'changes_requested'
            ELSE 'comment'
        END AS kind
    FROM domain.pull_request_comments AS c
    INNER JOIN domain.pull_requests AS p ON p.id = c.pull_request_id
    LEFT JOIN domain.accounts AS a ON a.id = c.account_id
    WHERE c.created_date IS NOT NULL
        AND c.account_id <> ''
        AND c.account_id <> p.author_id
        AND NOT coalesce(a.is_bot, FALSE)
),

first_answers AS (
    SELECT
        pull_request_id,
        kind,
        id,
        created_date
    FROM answers
    QUALIFY row_number() OVER (PARTITION BY pull_request_id, kind ORDER BY created_date, id) = 1
),

responses AS (
    SELECT
        pull_request_id,
        kind,
        created_date
    FROM answers
    QUALIFY row_number() OVER (PARTITION BY pull_request_id ORDER BY created_date, id) = 1
),

-- what branches and tags lead to; of given rows that do not say so, all
known_repositories AS (
    SELECT
        repo_id,
        bool_or(reachable) AS says_reachable
    FROM domain.repo_commits GROUP BY repo_id
),

known_commits AS (
    SELECT
        c.repo_id,
        c.commit_sha
    FROM domain.repo_commits AS c
    INNER JOIN known_repositories AS r ON r.repo_id = c.repo_id
    WHERE c.reachable OR NOT r.says_reachable
),

newest_commits AS (
    SELECT
        c.pull_request_id,
        c.commit_sha
    FROM domain.pull_request_commits AS c
    INNER JOIN domain.pull_requests AS p ON p.id = c.pull_request_id
    INNER JOIN known_commits AS k ON k.repo_id = p.base_repo_id AND k.commit_sha = c.commit_sha
    WHERE p.merged_date IS NOT NULL
        AND (p.merge_commit_sha = '' OR p.merge_commit_sha_match IN ('ambiguous', 'missing'))
    QUALIFY row_number() OVER (
            PARTITION BY c.pull_request_id ORDER BY c.commit_authored_date DESC NULLS LAST, c.commit_sha
        ) = 1
),

changes AS (
    SELECT
        p.*,
        CASE WHEN p.merge_commit_sha <> '' AND p.merge_commit_sha_match NOT IN ('ambiguous', 'missing')
                THEN p.merge_commit_sha
            ELSE coalesce(n.commit_sha, '')
        END AS change_sha
    FROM pull_requests AS p
    LEFT JOIN newest_commits AS n ON n.pull_request_id = p.id
),

deployments AS (
    SELECT
        m.project_name,
        d.id,
        d.cicd_deployment_id,
        d.repo_id,
        d.commit_sha,
        d.started_date,
        d.finished_date,
        d.prev_success_deployment_commit_id
    FROM domain.cicd_deployment_commits AS d
    INNER JOIN domain.project_mapping AS m ON m."table" = 'cicd_scopes' AND m.row_id = d.cicd_scope_id
    WHERE d.environment = 'PRODUCTION' AND d.result = 'SUCCESS'
),

ranges AS (
    SELECT
        d.project_name,
        d.id,
        d.cicd_deployment_id,
        d.started_date,
        d.finished_date,
        d.commit_sha AS new_sha,
        coalesce(p.commit_sha, '') AS old_sha
    FROM deployments AS d
    LEFT JOIN domain.cicd_deployment_commits AS p ON p.id = d.prev_success_deployment_commit_id
    WHERE d.prev_success_deployment_commit_id <> ''
),

devlake_deployments AS (
    SELECT
        r.project_name,
        f.commit_sha,
        r.id,
        r.cicd_deployment_id,
        r.finished_date,
        r.new_sha
    FROM domain.commits_diffs AS f
    INNER JOIN ranges AS r ON r.new_sha = f.new_commit_sha AND r.old_sha = f.old_commit_sha
    WHERE f.commit_sha IN (
            SELECT merge_commit_sha FROM domain.pull_requests
            UNION
            SELECT commit_sha FROM domain.pull_request_commits
        )
    QUALIFY row_number() OVER (
            PARTITION BY r.project_name, f.commit_sha
            ORDER BY r.started_date NULLS FIRST, r.id, r.finished_date NULLS LAST, r.new_sha
        ) = 1
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
        id,
        cicd_deployment_id,
        finished_date,
        new_sha = commit_sha AS is_direct,
        NULL AS position,
        3 AS source_rank
    FROM devlake_deployments
),

-- the commits whose way to production is asked for, and since when they were ready to go: a change's own, and
-- those that it takes back
asked AS (
    SELECT
        c.project_name,
        c.id,
        '' AS reverted_sha,
        c.base_repo_id,
        c.change_sha AS commit_sha,
        c.merged_date AS ready_date,
        c.merged_date
    FROM changes AS c
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
    INNER JOIN changes AS c ON c.project_name = m.project_name AND c.id = r.pull_request_id
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
),

attributions AS (
    SELECT
        f.project_name,
        f.id,
        f.reverted_sha,
        f.deployment_commit_id,
        f.cicd_deployment_id,
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
),

-- per change its own way, and of what it takes back the one that production got last, if within the time for rework;
-- and the deployments of all that it takes back
ways AS (
    SELECT
        project_name,
        id,
        max(attribution) FILTER (WHERE reverted_sha = '') AS attribution,
        max(cicd_deployment_id) FILTER (WHERE reverted_sha = '') AS cicd_deployment_id,
        max(deployment_commit_id) FILTER (WHERE reverted_sha = '') AS deployment_commit_id,
        max(finished_date) FILTER (WHERE reverted_sha = '') AS finished_date,
        max(source) FILTER (WHERE reverted_sha = '') AS source,
        (
            array_agg(reverted_sha ORDER BY finished_date DESC NULLS LAST, reverted_sha NULLS FIRST)
            FILTER (WHERE reverted_sha <> '' AND attribution <> 'baseline' AND is_recent)
        )[1
        ] AS reverted_sha,
        (
            array_agg(deployment_commit_id ORDER BY finished_date DESC NULLS LAST, reverted_sha NULLS FIRST)
            FILTER (WHERE reverted_sha <> '' AND attribution <> 'baseline' AND is_recent)
        )[1
        ] AS reverted_deployment_commit_id,
        array_to_string(
            array_agg(DISTINCT deployment_commit_id ORDER BY deployment_commit_id NULLS FIRST)
            FILTER (WHERE reverted_sha <> '' AND attribution <> 'baseline' AND is_recent),
            chr(10)
        ) AS reverted_deployment_commit_ids
    FROM attributions
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
        'bitbucket:BitbucketRepo:' || cast(r.connection_id AS varchar) || ':' || r.full_name AS repo_id,
        min(r.rules) AS rules
    FROM config.repositories AS r
    GROUP BY r.connection_id, r.full_name
),

described AS (
    SELECT
        c.*,
        coalesce(f.commit_sha, '') AS first_commit_sha,
        f.commit_authored_date AS first_commit_authored_date,
        coalesce(v.id, '') AS first_review_id,
        v.created_date AS first_comment_date,
        CASE WHEN d.finished_date IS NOT NULL THEN d.id ELSE '' END AS devlake_deployment_commit_id,
        d.finished_date AS devlake_deployed_date,
        coalesce(b.is_bot, FALSE) AS author_is_bot,
        coalesce(a.attribution, 'none') AS attribution,
        coalesce(a.cicd_deployment_id, '') AS attributed_deployment_id,
        coalesce(a.deployment_commit_id, '') AS attributed_deployment_commit_id,
        a.finished_date AS deployed_date,
        coalesce(a.source, '') AS deployed_date_source,
        k.commit_sha IS NULL AS is_unknown,
        coalesce(hc.id, '') AS first_human_comment_id,
        hc.created_date AS first_human_comment_date,
        coalesce(ha.id, '') AS first_approval_id,
        ha.created_date AS first_approval_date,
        hr.created_date AS first_response_date,
        coalesce(hr.kind, '') AS first_response_kind,
        coalesce(a.reverted_sha, '') AS reverted_commit_sha,
        coalesce(a.reverted_deployment_commit_id, '') AS reverted_deployment_commit_id,
        coalesce(a.reverted_deployment_commit_ids, '') AS reverted_deployment_commit_ids,
        CASE WHEN c.is_promotion THEN NULL
            WHEN a.reverted_sha IS NOT NULL THEN 'revert'
            WHEN ra.pull_request_id IS NOT NULL THEN NULL
            WHEN i.first_incident_date < c.created_date THEN 'incident'
            WHEN regexp_like(c.head_ref, u.hotfix_pattern) OR regexp_like(c.title, u.hotfix_pattern) THEN 'hotfix'
        END AS reactive_reason,
        coalesce(c.first_own_commit_date, f.commit_authored_date) AS first_change_date,
        coalesce(
            coalesce(c.first_own_commit_date, f.commit_authored_date) <= coalesce(c.created_date, c.merged_date)
            AND coalesce(c.first_own_commit_date, f.commit_authored_date) <= c.merged_date, FALSE)
            AS starts_with_commit
    FROM changes AS c
    LEFT JOIN first_commits AS f ON f.pull_request_id = c.id
    LEFT JOIN first_reviews AS v ON v.pull_request_id = c.id
    LEFT JOIN devlake_deployments AS d
        ON d.project_name = c.project_name AND d.commit_sha = c.merge_commit_sha AND c.merge_commit_sha <> ''
    LEFT JOIN ways AS a ON a.project_name = c.project_name AND a.id = c.id
    LEFT JOIN known_commits AS k ON k.repo_id = c.base_repo_id AND k.commit_sha = c.change_sha
    LEFT JOIN domain.accounts AS b ON b.id = c.author_id
    LEFT JOIN first_answers AS hc ON hc.pull_request_id = c.id AND hc.kind = 'comment'
    LEFT JOIN first_answers AS ha ON ha.pull_request_id = c.id AND ha.kind = 'approval'
    LEFT JOIN responses AS hr ON hr.pull_request_id = c.id
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

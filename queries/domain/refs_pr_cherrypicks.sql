-- Which pull requests were cherry-picked to further branches, and by which?
--
-- Grain:  one row per pull request that others cherry-pick
-- Source: domain.pull_requests, domain.repos
--
-- Rules:
-- * Branches and numbers have the same order: by branch, then number.
-- * The address is that of the cherry-picked pull request for Bitbucket's; made from the repository's for others and
--   where it has none.
--
-- incremental: repository by parent_pr_id
SELECT
    coalesce(r.name, '') AS repo_name,
    coalesce(p.pull_request_key, 0) AS parent_pr_key,
    string_agg(
        c.base_ref,
        ','
        ORDER BY lower(c.base_ref) NULLS FIRST, c.base_ref NULLS FIRST, c.pull_request_key NULLS FIRST, c.id NULLS FIRST
    ) AS cherrypick_base_branches,
    string_agg(
        cast(c.pull_request_key AS varchar),
        ','
        ORDER BY lower(c.base_ref) NULLS FIRST, c.base_ref NULLS FIRST, c.pull_request_key NULLS FIRST, c.id NULLS FIRST
    ) AS cherrypick_pr_keys,
    CASE WHEN p.url <> '' AND starts_with(p.base_repo_id, 'bitbucket:') THEN p.url
        ELSE coalesce(
                r.url || CASE WHEN starts_with(r.id, 'bitbucket:') THEN '/pull-requests/' ELSE '/pull/' END
                || cast(p.pull_request_key AS varchar),
                ''
            )
    END AS parent_pr_url,
    c.parent_pr_id,
    '' AS _raw_data_params,
    '' AS _raw_data_table
FROM domain.pull_requests AS c
LEFT JOIN domain.pull_requests AS p ON p.id = c.parent_pr_id
LEFT JOIN domain.repos AS r ON r.id = p.base_repo_id
WHERE c.parent_pr_id <> ''
GROUP BY c.parent_pr_id, r.id, r.name, r.url, p.pull_request_key, p.url, p.base_repo_id

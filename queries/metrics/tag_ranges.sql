-- Which tags follow each other in each repository?
--
-- Grain:  one row per pair of tags, the newer one and the one before it
-- Source: domain.ref_commits, domain.refs, domain.repos
--
-- Rules:
-- * pair_index and place count from the newest pair of the repository. place is that of the newest pair of the newer
--   tag.
--
-- incremental: repository by repo_id
SELECT
    c.new_ref_id,
    c.old_ref_id,
    c.repo_id,
    c.new_commit_sha,
    c.old_commit_sha,
    c.pair_index,
    min(c.pair_index) OVER (PARTITION BY c.new_ref_id) AS place,
    r.name AS repo_name,
    replace(t.name, 'refs/tags/', '') AS tag,
    replace(o.name, 'refs/tags/', '') AS since_tag
FROM domain.ref_commits AS c
INNER JOIN domain.refs AS t ON t.id = c.new_ref_id
INNER JOIN domain.refs AS o ON o.id = c.old_ref_id
INNER JOIN domain.repos AS r ON r.id = c.repo_id

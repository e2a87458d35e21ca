-- Which incidents were there, and when did they end?
--
-- Grain:  one row per issue of the type INCIDENT on a board of a project
-- Source: domain.issues, domain.board_issues, domain.project_mapping
--
-- Rules:
-- * The rules are those of DevLake's dora plugin. An issue on several boards belongs to the one with the smallest id.
-- * No issue names a project, deployment, commit or pull request of its own: an outside source may.
--
-- incremental: repository by id
WITH boards AS (
    SELECT
        b.issue_id,
        min(b.board_id) AS board_id
    FROM domain.board_issues AS b
    WHERE b.board_id IN (SELECT m.row_id FROM domain.project_mapping AS m WHERE m."table" = 'boards')
    GROUP BY b.issue_id
)

SELECT
    i.id,
    i.url,
    i.icon_url,
    i.issue_key AS incident_key,
    i.title,
    i.description,
    i.status,
    i.original_status,
    i.resolution_date,
    i.created_date,
    i.updated_date,
    i.lead_time_minutes,
    i.original_estimate_minutes,
    i.time_spent_minutes,
    i.time_remaining_minutes,
    i.creator_id,
    i.creator_name,
    i.parent_issue_id AS parent_incident_id,
    i.priority,
    i.severity,
    i.urgency,
    i.component,
    i.original_project,
    'boards' AS "table",
    b.board_id AS scope_id,
    i.assignee_id,
    i.assignee_name,
    i._raw_data_params,
    i._raw_data_table,
    '' AS project_name,
    '' AS deployment_id,
    '' AS commit_sha,
    '' AS pull_request_id
FROM domain.issues AS i
INNER JOIN boards AS b ON b.issue_id = i.id
WHERE i.type = 'INCIDENT'

-- name: lock_people
select pg_advisory_xact_lock(7401685242)

-- name: people
select name, roles, public_key, since, changed_by from access.people order by name

-- name: insert_person
insert into access.person_row (name, version, public_key, roles, entry)
select $1, coalesce(max(version), 0) + 1, $2, $3, $4 from access.person_row where name = $1

-- name: keys
select name, public_key from access.person_keys where public_key is not null order by entry

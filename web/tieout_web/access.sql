-- Passwords, sessions and tokens: the web part is the only one that writes schema access.

-- name: person
select name, roles, public_key from access.people where name = $1

-- name: password
select hash from access.password_row where name = $1 order by version desc limit 1

-- name: insert_password
insert into access.password_row (name, version, hash, entry)
select $1, coalesce(max(version), 0) + 1, $2, $3 from access.password_row where name = $1

-- name: failures
-- Since the last success, within the window.
select count(*) from access.login_row
where name = $1 and not succeeded and at > clock_timestamp() - make_interval(mins => $2)
  and at > coalesce((select max(at) from access.login_row where name = $1 and succeeded), '-infinity')

-- name: lock_login
select pg_advisory_xact_lock(7401685243 # hashtext($1)::bigint)

-- name: insert_login
insert into access.login_row (name, succeeded) values ($1, $2)

-- name: insert_session
insert into access.session_row (digest, name, expires_at) values ($1, $2, clock_timestamp() + make_interval(hours => $3))

-- name: session
select s.name, s.expires_at, p.roles
from access.session_row s join access.people p on p.name = s.name
where s.digest = $1 and s.expires_at > clock_timestamp()
  and not exists (select from access.session_end_row x where x.digest = s.digest)

-- name: end_session
insert into access.session_end_row (digest) select digest from access.session_row where digest = $1 on conflict do nothing

-- name: end_sessions_of
insert into access.session_end_row (digest)
select digest from access.session_row s where s.name = $1 and s.expires_at > clock_timestamp() on conflict do nothing

-- name: insert_token
insert into access.token_row (digest, name, label, scopes, expires_at, entry)
values ($1, $2, $3, $4, clock_timestamp() + make_interval(days => $5), $6)

-- name: token
select t.name, t.scopes, t.expires_at > clock_timestamp() as in_time,
       exists (select from access.token_end_row x where x.digest = t.digest) as ended
from access.token_row t where t.digest = $1

-- name: tokens
select name, label, scopes, created_at, expires_at, ended from access.tokens order by created_at, label

-- name: end_tokens
with ended as (
    select t.digest from access.token_row t
    where t.label = $1 and not exists (select from access.token_end_row x where x.digest = t.digest)
)
insert into access.token_end_row (digest, entry) select digest, $2 from ended

-- name: admin
select name from access.people where public_key = $1 and 'admin' = any (roles)

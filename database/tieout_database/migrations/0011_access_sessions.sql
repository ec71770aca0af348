-- Logging in to the desk, and tokens for programs. Secrets are stored hashed; nothing is updated: an end is
-- a row of its own.

set local lock_timeout = '30s';
set local statement_timeout = '10min';

create table access.password_row (
    name text collate "C" not null,
    version integer not null check (version > 0),
    -- Argon2id, in its own encoding
    hash text not null,
    entry bigint not null references audit.entry_row (entry),
    primary key (name, version)
);

-- digest: SHA-256 of the cookie, which only the browser has.
create table access.session_row (
    digest bytea primary key check (octet_length(digest) = 32),
    name text collate "C" not null,
    created_at timestamptz not null default clock_timestamp(),
    expires_at timestamptz not null
);

create table access.session_end_row (
    digest bytea primary key references access.session_row (digest),
    ended_at timestamptz not null default clock_timestamp()
);

-- Attempts to log in, by which a name is locked for a while.
create table access.login_row (
    login bigint generated always as identity primary key,
    name text collate "C" not null,
    at timestamptz not null default clock_timestamp(),
    succeeded boolean not null
);
create index login_row_name on access.login_row (name, at);

create table access.token_row (
    digest bytea primary key check (octet_length(digest) = 32),
    name text collate "C" not null,
    label text not null,
    scopes text[] not null check (scopes <@ array['breaks:read', 'reports:read']),
    created_at timestamptz not null default clock_timestamp(),
    expires_at timestamptz not null,
    entry bigint not null references audit.entry_row (entry)
);

create table access.token_end_row (
    digest bytea primary key references access.token_row (digest),
    entry bigint not null references audit.entry_row (entry)
);

do $$
declare relation text;
begin
    foreach relation in array array['password_row', 'session_row', 'session_end_row', 'login_row', 'token_row', 'token_end_row'] loop
        execute format('create trigger refuse_truncate before truncate on access.%s execute function audit.refuse_change()', relation);
        execute format('create trigger refuse_change before update or delete on access.%s for each row execute function audit.refuse_change()', relation);
    end loop;
end $$;

create view access.tokens as
select t.name, t.label, t.scopes, t.created_at, t.expires_at, x.digest is not null as ended
from access.token_row t left join access.token_end_row x using (digest);

-- What the business says beside statements, orders and trades, as known at a load.

-- name: known_actions
select distinct on (action_id)
       line, action_id, isin, kind, status, announced_at, ex_date, record_date, pay_date, effective_at, factor,
       cash_rate, currency, withholding, new_isin
from recon.action_row where load <= $1 order by action_id, load desc

-- name: action_sources
select distinct on (a.action_id) a.action_id, a.isin, a.kind, l.name, l.load
from recon.action_row a join recon.load_row l using (load)
where a.action_id = any ($1::text[]) order by a.action_id, a.load desc

-- name: known_chains
select distinct on (mint, network, as_of, wrapper)
       line, mint, network, unit, quantity, issuer_held, decimals, multiplier, block, as_of, source, held, wrapper,
       escrowed
from recon.chain_reading_row where load <= $1 order by mint, network, as_of, wrapper, load desc

-- name: known_bridge
select distinct on (message_id)
       line, message_id, mint, direction, network, raw, signature, remote_reference, sent_at, delivered_at
from recon.bridge_message_row where load <= $1 order by message_id, load desc

-- name: known_movements
select distinct on (custodian, reference)
       line, custodian, account, isin, quantity, kind, reference, request_id, action_id, traded_at, settles_on,
       settled_at, cash, currency
from recon.custody_movement_row where load <= $1 order by custodian, reference, load desc

-- name: known_loans
select distinct on (custodian, reference)
       line, custodian, account, isin, reference, quantity, position, lent_at, document, borrower, recalled_at, due_on,
       returned_at, collateral_amount, collateral_currency
from recon.stock_loan_row where load <= $1 order by custodian, reference, load desc

-- name: known_payments
select distinct on (reference)
       line, reference, direction, amount, currency, paid_at, source, request_id, account, counterparty, evidence,
       signature
from recon.payment_row where load <= $1 order by reference, load desc

-- name: payment_sources
select distinct on (p.reference) p.reference, p.account, l.name, l.load
from recon.payment_row p join recon.load_row l using (load)
where p.reference = any ($1::text[]) and p.account is not null order by p.reference, p.load desc

-- name: known_prices
select distinct on (isin, currency, day)
       line, isin, day, price, currency, source, mic
from recon.price_row where load <= $1 order by isin, currency, day, load desc

-- name: last_prices
select line, isin, day, price, currency, source, mic from recon.last_prices($1, $2, $3)

-- name: any_price
select exists (select from recon.prices where load <= $1)

-- name: price_days
select symbol, price_days_max from recon.price_days where load = $1

-- name: known_spans
select custodian, account, from_at, to_at from recon.movement_span_row where load <= $1
order by custodian, account, from_at, to_at, load

-- name: insert_span
insert into recon.movement_span_row (load, custodian, account, from_at, to_at) values ($1, $2, $3, $4, $5)

-- name: known_venue
with latest as (
    select venue, mint, as_of, max(load) as load from recon.venue_line_row where load <= $1 group by venue, mint, as_of
)
select v.line, v.venue, v.mint, v.kind, v.account, v.quantity, v.unit, v.as_of
from latest l join recon.venue_line_row v using (venue, mint, as_of, load)
order by v.venue, v.mint, v.as_of, v.line

-- When a card expires: the purchase plus the pool's lifetime, counted in UTC; 29 February becomes 28 February.
-- NULL without a purchase date or without a lifetime (NoExpiration). Source: GC-03.
CREATE OR REPLACE FUNCTION loyalty.gift_card_expiry(purchased_at timestamptz, lifetime_years integer)
RETURNS timestamptz
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (purchased_at AT TIME ZONE 'UTC' + make_interval(years => lifetime_years)) AT TIME ZONE 'UTC';

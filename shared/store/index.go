package store

import (
	"cmp"
	"context"
	_ "embed"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/redis/go-redis/v9"
)

var (
	//go:embed lua/list.lua
	listBody string
	//go:embed lua/trim.lua
	trimBody string

	listScript = redis.NewScript(listBody)
	trimScript = redis.NewScript(indexHead + trimBody)
)

// Bounds of a list and of a trim.
const (
	maxListed  = 200 // records of a list
	listEffort = 500 // entries that a list looks at, of each kind
	trimBatch  = 500 // entries that one script looks at
	trimRounds = 20  // scripts of a call, of each kind
)

// Filter says which invocations are listed. Site is required; what else is zero
// leaves nothing out.
type Filter struct {
	Site     string
	Function string
	State    invocation.State
	Deploy   string
	From, To time.Time // time of creation: From or later, and before To
}

// place is where a list stands: before the record that was made at a time, in
// milliseconds, and has an ID. The zero place is before the newest record.
type place struct {
	created int64
	id      string
}

// newer orders places as a list does.
func (p place) newer(other place) bool {
	return cmp.Or(cmp.Compare(p.created, other.created), cmp.Compare(p.id, other.id)) > 0
}

func (p place) String() string { return strconv.FormatInt(p.created, 10) + "-" + p.id }

var placeForm = regexp.MustCompile(`^([0-9]{1,15})-([0-7][0-9A-HJKMNP-TV-Z]{25})$`)

// parsePlace reads a cursor; "" is the zero place.
func parsePlace(cursor string) (place, error) {
	if cursor == "" {
		return place{}, nil
	}
	parts := placeForm.FindStringSubmatch(cursor)
	if parts == nil {
		return place{}, fault.New(fault.Invalid, "listing invocations: %.40q is not a cursor of a list; begin without one", cursor)
	}
	created, err := strconv.ParseInt(parts[1], 10, 64)
	return place{created, parts[2]}, err
}

// sets are the names of the index's sets that hold what the filter lets through,
// without what they begin with.
func (f Filter) sets() string {
	var names []string
	for _, state := range states {
		if f.State != "" && f.State != state {
			continue
		}
		name := string(state) + ":" + f.Site
		if f.Function != "" {
			name += ":" + f.Function
		}
		names = append(names, name)
	}
	return strings.Join(names, " ")
}

func (f Filter) validate() error {
	switch {
	case f.Site == "":
		return fault.New(fault.Invalid, "listing invocations: name a site")
	case strings.ContainsAny(f.Site, ": ") || strings.ContainsAny(f.Function, ": "):
		return fault.New(fault.Invalid, "listing invocations: there is no site %.40q with a function %.40q", f.Site, f.Function)
	case f.State != "" && !slices.Contains(states, f.State):
		return fault.New(fault.Invalid, "listing invocations: there is no state %.40q; it is one of %v", f.State, states)
	}
	return nil
}

// Invocations lists records of both kinds, newest first, up to limit, 1 to 200;
// other limits are brought to the nearest. cursor is "" for the first page; next
// is that of the following page, and "" at the end. Results are left out.
//
// A call looks at about 1,000 records, so with a Deploy a page may have less
// than limit records, or none, and a next one all the same. Records that are made
// while one pages are in none of the following pages; each other one is in
// exactly one, unless it moves out of the filter's state or expires meanwhile.
//
// A filter or a cursor that makes no sense is fault.Invalid.
func (s *Store) Invocations(ctx context.Context, f Filter, cursor string, limit int) (list []invocation.Invocation, next string, err error) {
	if err := f.validate(); err != nil {
		return nil, "", err
	}
	from, err := parsePlace(cursor)
	if err != nil {
		return nil, "", err
	}
	limit = min(max(limit, 1), maxListed)
	var horizon place // older records may lie behind what a kind has not looked at
	for _, kind := range recordKinds() {
		part, end, err := s.list(ctx, kind, f, from, limit)
		if err != nil {
			return nil, "", err
		}
		list = append(list, part...)
		if end.newer(horizon) {
			horizon = end
		}
	}
	slices.SortFunc(list, func(a, b invocation.Invocation) int {
		if placeOf(a).newer(placeOf(b)) {
			return -1
		}
		return 1
	})
	list = slices.DeleteFunc(list, func(inv invocation.Invocation) bool { return horizon.newer(placeOf(inv)) })
	if len(list) > limit {
		list = list[:limit]
		horizon = placeOf(list[limit-1])
	}
	if horizon != (place{}) {
		next = horizon.String()
	}
	return list, next, nil
}

func placeOf(inv invocation.Invocation) place { return place{inv.CreatedAt.UnixMilli(), inv.ID} }

// list lists records of one kind. end is the last that it looked at; the zero
// place if there is none after it.
func (s *Store) list(ctx context.Context, kind function.Kind, f Filter, from place, limit int) (list []invocation.Invocation, end place, err error) {
	const doing = "listing invocations"
	least, greatest, before := int64(0), int64(1)<<52, ""
	if !f.From.IsZero() {
		least = ceilMillis(f.From)
	}
	if !f.To.IsZero() {
		greatest = ceilMillis(f.To) - 1
	}
	if from != (place{}) && from.created <= greatest {
		greatest, before = from.created, from.id
	}
	args := []any{f.sets(), least, greatest, before, f.Deploy, limit, listEffort}
	for _, field := range listFields {
		args = append(args, field)
	}
	answer, err := listScript.Run(ctx, s.rdb, []string{indexKey(kind), recordKey(kind, "")}, args...).Slice()
	if err != nil {
		return nil, place{}, failed(ctx, err, doing)
	}
	exhausted, created, id, records, ok := listed(answer)
	if !ok {
		return nil, place{}, unexpected(doing, fmt.Sprint(len(answer), " parts"))
	}
	for _, values := range records {
		inv, err := recordOf(listFields, values).invocation()
		if err != nil {
			return nil, place{}, fmt.Errorf("%s: %s: %w", doing, inv.ID, err)
		}
		list = append(list, inv)
	}
	if exhausted == 0 {
		end = place{created, id}
	}
	return list, end, nil
}

// listed takes the answer of the script apart.
func listed(answer []any) (exhausted, created int64, id string, records [][]any, ok bool) {
	if len(answer) != 4 {
		return 0, 0, "", nil, false
	}
	exhausted, ok1 := answer[0].(int64)
	text, ok2 := answer[1].(string)
	id, ok3 := answer[2].(string)
	all, ok4 := answer[3].([]any)
	created, err := strconv.ParseInt(text, 10, 64)
	for _, one := range all {
		values, isList := one.([]any)
		ok4 = ok4 && isList && len(values) == len(listFields)
		records = append(records, values)
	}
	return exhausted, created, id, records, ok1 && ok2 && ok3 && ok4 && err == nil
}

// TrimIndex removes the entries of records that have expired, and returns of how
// many records it did. It looks at up to 10,000 of each kind; more than 0 says
// that it may find more when called again. It is idempotent, and any number may
// do it at once.
func (s *Store) TrimIndex(ctx context.Context) (removed int, err error) {
	const doing = "trimming the index of invocations"
	for _, kind := range recordKinds() {
		for range trimRounds {
			n, err := trimScript.Run(ctx, s.rdb, []string{indexKey(kind), recordKey(kind, "")}, trimBatch).Int64Slice()
			if err != nil {
				return removed, failed(ctx, err, doing)
			}
			if len(n) != 2 {
				return removed, unexpected(doing, "a list of another length")
			}
			removed += int(n[0])
			if n[1] < trimBatch {
				break
			}
		}
	}
	return removed, nil
}

// ceilMillis is the first millisecond that is not before t.
func ceilMillis(t time.Time) int64 { return t.Add(time.Millisecond - 1).UnixMilli() }

// unfinishedKeys are the index's sets of records that are not finished.
func unfinishedKeys(kind function.Kind) (keys []string) {
	for _, state := range states {
		if !state.Terminal() {
			keys = append(keys, indexKey(kind)+string(state))
		}
	}
	return keys
}

// Unfinished lists records of a kind that are queued, running or failed, oldest
// first, up to limit, 1 to 200; other limits are brought to the nearest. after is
// "" for the oldest; next is what to go on after, and "" at the end. A page may
// have fewer than limit records, or none, and a next one all the same. A record
// that moves from one state to another meanwhile may be missed. Results are left
// out.
func (s *Store) Unfinished(ctx context.Context, kind function.Kind, after string, limit int) (list []invocation.Invocation, next string, err error) {
	const doing = "listing unfinished invocations"
	if !slices.Contains(recordKinds(), kind) {
		return nil, "", fault.New(fault.Internal, "%s: there are no records of kind %q", doing, kind)
	}
	from, err := parsePlace(after)
	if err != nil {
		return nil, "", err
	}
	limit = min(max(limit, 1), maxListed)
	sets := unfinishedKeys(kind)
	// As a rule there are none, and then one command does.
	some, err := s.rdb.Exists(ctx, sets...).Result()
	if err != nil {
		return nil, "", failed(ctx, err, doing)
	}
	if some == 0 {
		return nil, "", nil
	}
	// Of each state those of the very millisecond, and then the ones that follow.
	var parts []*redis.ZSliceCmd
	_, err = s.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		at := strconv.FormatInt(from.created, 10)
		for _, set := range sets {
			if after != "" {
				parts = append(parts, pipe.ZRangeByScoreWithScores(ctx, set, &redis.ZRangeBy{Min: at, Max: at}))
			}
			parts = append(parts, pipe.ZRangeByScoreWithScores(ctx, set, &redis.ZRangeBy{Min: "(" + at, Max: "+inf", Count: int64(limit)}))
		}
		return nil
	})
	if err != nil {
		return nil, "", failed(ctx, err, doing)
	}
	var places []place
	for _, part := range parts {
		for _, z := range part.Val() {
			id, _ := z.Member.(string)
			if p := (place{int64(z.Score), id}); p.newer(from) {
				places = append(places, p)
			}
		}
	}
	slices.SortFunc(places, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.created, b.created), cmp.Compare(a.id, b.id))
	})
	places = slices.Compact(places) // one that moved stands twice, next to itself
	if len(places) > limit {
		places = places[:limit]
	}
	if len(places) == limit {
		next = places[limit-1].String()
	}
	records := make([]*redis.SliceCmd, len(places))
	_, err = s.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for i, p := range places {
			records[i] = pipe.HMGet(ctx, recordKey(kind, p.id), listFields...)
		}
		return nil
	})
	if err != nil {
		return nil, "", failed(ctx, err, doing)
	}
	for _, values := range records {
		r := recordOf(listFields, values.Val())
		if r[fieldID] == "" {
			continue // gone
		}
		inv, err := r.invocation()
		if err != nil {
			return nil, "", fmt.Errorf("%s: %s: %w", doing, inv.ID, err)
		}
		if !inv.State.Terminal() {
			list = append(list, inv)
		}
	}
	return list, next, nil
}

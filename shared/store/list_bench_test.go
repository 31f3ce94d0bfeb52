package store

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/redisdb/redistest"
	"github.com/redis/go-redis/v9"
)

// million is how many records the lists are measured on, and records that of one
// site: of 20 functions, each of one kind, on 100 deploys, in 7 days up to now.
const million = 1_000_000

// loadScript makes records 0.6 s apart, in the mix of a site that does well: of
// 100 of a function 90 succeeded, 4 are dead, 3 cancelled, and one each queued,
// running and failed. It writes what the scripts of a whole life would.
//
// KEYS[1] what the names of the index's sets begin with
// KEYS[2] what the names of records begin with
// ARGV[1…2] first record and last one
// ARGV[3] time of creation of record 0, ms
// ARGV[4] event
// ARGV[5] kind
//
// Of the records it makes those of the kind: functions f0, f2 … are background. The
// first one is f0's.
var loadScript = redis.NewScript(`
local index, records, event, kind = KEYS[1], KEYS[2], ARGV[4], ARGV[5]
local terminal = {succeeded = true, dead = true, cancelled = true}
local rare = {'dead', 'dead', 'dead', 'dead', 'cancelled', 'cancelled', 'cancelled', 'queued', 'running', 'failed'}
local result = '{"status":200,"headers":{"content-type":["application/json"]},"body":"{\\"ok\\":true}"}'
local sets = {}
local function list(set, at, id)
  local all = sets[set]
  if not all then
    all = {}
    sets[set] = all
  end
  all[#all + 1] = at
  all[#all + 1] = id
end
for i = ARGV[1] + (kind == 'background' and 0 or 1), ARGV[2], 2 do
  local id, fn, at = string.format('0%025d', i), 'f' .. i % 20, ARGV[3] + i * 600
  local state = rare[math.floor(i / 20) % 100 + 1] or 'succeeded'
  local ms = string.format('%.0f', at)
  local fields = {'id', id, 'site', 'shop', 'deploy', 'd' .. math.floor(i / 1000) % 100, 'function', fn, 'kind', kind,
    'state', state, 'created', ms, 'event', event, 'attempt', '0'}
  local own = state .. ':shop'
  if state ~= 'queued' then
    local started, finished = string.format('%.0f', at + 5), string.format('%.0f', at + 5 + i * 7919 % 30000)
    local journal = '{"n":1,"worker":"worker-7f9c","start":' .. started .. '}\n'
    if state ~= 'running' then
      journal = journal .. '{"n":1,"end":' .. finished .. ',"outcome":"' .. (state == 'succeeded' and state or 'error') .. '"}\n'
    end
    fields[18], fields[19], fields[20], fields[21], fields[22] = '1', 'started', started, 'attempts', journal
    if terminal[state] then
      fields[23], fields[24] = 'finished', finished
      list('expiry', finished + 604800000, id .. ':' .. own .. ':' .. fn)
    end
    if state == 'succeeded' then fields[25], fields[26] = 'result', result end
  end
  redis.call('HSET', records .. id, unpack(fields))
  list(own, ms, id)
  list(own .. ':' .. fn, ms, id)
  if not terminal[state] then list(state, ms, id) end
end
for set, all in pairs(sets) do
  redis.call('ZADD', index .. set, unpack(all))
end
return 1
`)

// loadRecords makes n records that end now.
func (b *backend) loadRecords(t testing.TB, n int, now time.Time) {
	t.Helper()
	const batch = 1000
	first := now.Add(-time.Duration(n) * 600 * time.Millisecond).UnixMilli()
	event := make([]byte, 512)
	for at := 0; at < n; at += batch {
		for _, kind := range recordKinds() {
			keys := []string{indexKey(kind), recordKey(kind, "")}
			if err := loadScript.Run(t.Context(), b.rdb, keys, at, min(at+batch, n)-1, first, event, string(kind)).Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// BenchmarkLists reads what a console shows of a site with a million records:
// pages of 50 with each filter, from the newest and from the middle, and the
// figures. It reports what a call found, and Redis's processor time for it.
func BenchmarkLists(b *testing.B) {
	if testing.Short() {
		b.Skip("makes a million records, of some 2 GB")
	}
	if !redistest.Real() {
		b.Skip("measures a real Redis")
	}
	server := redistest.Start(b)
	s := &backend{Store: New(server.Client(), Options{})}
	now, begun := s.now(b), time.Now()
	s.loadRecords(b, million, now)
	b.Logf("made %d records in %v, %.0f s of Redis's time", million, time.Since(begun).Round(time.Second), server.ProcessorTime())
	s.loadDeploys(b, 200)
	s.loadDeadCallbacks(b, 10_000)
	s.loadLedger(b)

	ctx := b.Context()
	page := func(f Filter, cursor string) func() (int, error) {
		f.Site = "shop"
		return func() (int, error) {
			list, _, err := s.Invocations(ctx, f, cursor, 50)
			return len(list), err
		}
	}
	middle := now.Add(-84 * time.Hour)
	var functions []string
	for i := range 20 {
		functions = append(functions, fmt.Sprint("f", i))
	}
	for _, call := range []struct {
		name string
		call func() (found int, err error)
	}{
		{"invocations", page(Filter{}, "")},
		{"invocations function", page(Filter{Function: "f3"}, "")},
		{"invocations state", page(Filter{State: invocation.Dead}, "")},
		{"invocations function and state", page(Filter{Function: "f3", State: invocation.Cancelled}, "")},
		{"invocations deploy", page(Filter{Deploy: "d99"}, "")},
		{"invocations deploy that is far away", page(Filter{Deploy: "d50"}, "")}, // the bound ends the look
		{"invocations from the middle", page(Filter{To: middle}, "")},
		{"invocations cursor in the middle", page(Filter{}, fmt.Sprint(middle.UnixMilli(), "-", newID()))},
		{"invocations a minute", page(Filter{From: middle, To: middle.Add(time.Minute)}, "")},
		{"invocations largest page", func() (int, error) {
			list, _, err := s.Invocations(ctx, Filter{Site: "shop"}, "", maxListed)
			return len(list), err
		}},
		{"unfinished", func() (int, error) {
			list, _, err := s.Unfinished(ctx, function.Background, "", maxListed)
			return len(list), err
		}},
		{"deploys", func() (int, error) { list, err := s.DeploySummaries(ctx, "shop", 0, 50); return len(list), err }},
		{"deploys all", func() (int, error) { list, err := s.DeploySummaries(ctx, "shop", 0, 0); return len(list), err }},
		{"dead callbacks", func() (int, error) {
			list, _, err := s.DeadCallbacks(ctx, "shop", "", 50)
			return len(list), err
		}},
		{"ledger", func() (int, error) {
			list, _, err := s.Ledger(ctx, "shop/f1", "", maxLedgerPage)
			return len(list), err
		}},
		{"counts", func() (int, error) { c, err := s.Counts(ctx); return int(c.Queued), err }},
		{"site counts", func() (int, error) { c, err := s.SiteCounts(ctx, "shop"); return int(c.Total()), err }},
		{"minutes 60", s.minutes(ctx, now, 60)},
		{"minutes 180", s.minutes(ctx, now, 180)},
		{"oldest queued", func() (int, error) { _, err := s.OldestQueued(ctx, "shop"); return 1, err }},
		{"figures 20 functions", func() (int, error) {
			all, err := s.FunctionFigures(ctx, "shop", functions, 0)
			return len(all), err
		}},
		{"figures 20 functions, 200 runs", func() (int, error) {
			all, err := s.FunctionFigures(ctx, "shop", functions, maxRuns)
			return len(all), err
		}},
	} {
		b.Run(call.name, func(b *testing.B) {
			found, from := 0, server.ProcessorTime()
			for b.Loop() {
				n, err := call.call()
				if err != nil {
					b.Fatal(err)
				}
				found += n
			}
			b.ReportMetric(float64(found)/float64(b.N), "found/op")
			b.ReportMetric((server.ProcessorTime()-from)/float64(b.N)*1e3, "redis-ms/op")
		})
	}
}

// minutes counts the last n minutes, and returns how many invocations those had.
func (b *backend) minutes(ctx context.Context, now time.Time, n int) func() (int, error) {
	return func() (found int, err error) {
		minutes, err := b.Minutes(ctx, "shop", now.Add(-time.Duration(n)*time.Minute), n)
		for _, m := range minutes {
			found += int(m.Total())
		}
		return found, err
	}
}

// loadDeploys makes deploys of 20 functions and 1,000 static files each.
func (b *backend) loadDeploys(t testing.TB, n int) {
	t.Helper()
	var functions []function.Function
	for i := range 20 {
		functions = append(functions, function.Function{Name: fmt.Sprint("f", i), Kind: recordKinds()[i%2]})
	}
	files := map[string]deploy.File{}
	for i := range 1000 {
		files[fmt.Sprintf("_next/static/chunks/pages/%04d-4f3d2e1c.js", i)] = deploy.File{Digest: strings.Repeat("ab", 32), Size: 12345}
	}
	for i := range n {
		d := deploy.Deploy{ID: fmt.Sprint("d", i), Site: "shop", Functions: functions, Files: files, CreatedAt: time.UnixMilli(int64(i + 1))}
		if err := b.CreateDeploy(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
}

// loadDeadCallbacks gives dead invocations a callback that was given up.
func (b *backend) loadDeadCallbacks(t testing.TB, n int) {
	t.Helper()
	const kind = function.Background
	ids, err := b.rdb.ZRevRange(t.Context(), indexKey(kind)+"dead:shop", 0, int64(n)-1).Result()
	if err != nil || len(ids) != n {
		t.Fatalf("%d dead invocations, %v, want %d", len(ids), err, n)
	}
	_, err = b.rdb.Pipelined(t.Context(), func(p redis.Pipeliner) error {
		for i, id := range ids {
			p.HSet(t.Context(), recordKey(kind, id), fieldCallback, "https://example.com", fieldCallbackState, string(invocation.CallbackDead))
			p.ZAdd(t.Context(), deadCallbacksKey(kind, "shop"), redis.Z{Score: float64(i), Member: id})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// loadLedger fills the ledger of a schedule with the most entries that are kept.
func (b *backend) loadLedger(t testing.TB) {
	t.Helper()
	for i := range 300 {
		entry := fmt.Sprintf("%d fired 12 1 0 %s", 1_700_000_000_000+i*60_000, newID())
		if err := b.rdb.LPush(t.Context(), ledgerKey("shop/f1"), entry).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

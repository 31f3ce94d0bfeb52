package store

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"

	"github.com/nightshift/nightshift/shared/function"
)

// Every key and channel of this package is made here. What stands in braces is
// the hash tag: keys that one script touches share it, and with it the slot of
// a Redis Cluster. Records, logs, cursors and the term share the tag of the
// queue, because they take part in its scripts.

// recordKey is the hash of an invocation.
func recordKey(kind function.Kind, id string) string {
	return "nightshift:{" + string(kind) + "}:inv:" + id
}

// logKey is the stream of an invocation's log lines.
func logKey(kind function.Kind, id string) string {
	return "nightshift:{" + string(kind) + "}:log:" + id
}

// pinsKey is the hash of how many unfinished invocations each deploy has.
func pinsKey(kind function.Kind) string { return "nightshift:{" + string(kind) + "}:pins" }

// indexKey is what the names of the sets begin with in which the records of a
// kind are listed; lua/index.lua says the rest. It is the name of no key itself.
func indexKey(kind function.Kind) string { return "nightshift:{" + string(kind) + "}:index:" }

// countsKey is the hash of how many records were made and ended, by state.
func countsKey(kind function.Kind) string { return "nightshift:{" + string(kind) + "}:counts" }

// callbacksKey is the sorted set of invocations whose end has to be told, by the
// time at which that is due.
func callbacksKey(kind function.Kind) string { return "nightshift:{" + string(kind) + "}:callbacks" }

// deadCallbacksKey is the sorted set of invocations of a site whose callback was
// given up, by the time at which that was.
func deadCallbacksKey(kind function.Kind, site string) string {
	return callbacksKey(kind) + ":dead:" + site
}

// callbackCountsKey is the hash of how many callbacks ended how.
func callbackCountsKey(kind function.Kind) string { return callbacksKey(kind) + ":counts" }

// callbackClaimKey is what a claim answered, by the token of the call.
func callbackClaimKey(kind function.Kind, token string) string {
	return callbacksKey(kind) + ":claim:" + token
}

// onceKey is the ID of the invocation that a function's caller made under an
// idempotency key. Of that key it holds a digest: it is text of anybody's.
func onceKey(kind function.Kind, site, function, key string) string {
	sum := sha256.Sum256([]byte(key))
	return "nightshift:{" + string(kind) + "}:once:" + site + ":" + function + ":" + hex.EncodeToString(sum[:])
}

// deployKey is the hash of a deploy.
func deployKey(id string) string { return "nightshift:{catalog}:deploy:" + id }

// deploysKey is the sorted set of a site's deploys, by time of creation.
func deploysKey(site string) string { return "nightshift:{catalog}:deploys:" + site }

// sitesKey is the hash of sites: when they were made, by name.
func sitesKey() string { return "nightshift:{catalog}:sites" }

// lockedKey is the hash of deploys that sites are locked to, by site.
func lockedKey() string { return "nightshift:{catalog}:locked" }

// historyKey is the list of the deploys that were published on a site, newest last.
func historyKey(site string) string { return "nightshift:{catalog}:history:" + site }

// rollbackKey is the hash that remembers a site's last rollback for a while.
func rollbackKey(site string) string { return "nightshift:{catalog}:rollback:" + site }

// branchesKey is the hash of the newest deploys of branches, by branchField.
func branchesKey() string { return "nightshift:{catalog}:branches" }

// branchField is the field of a site's branch, given its label.
func branchField(site, label string) string { return site + "/" + label }

// blobsKey is the hash of the blobs that a site has uploaded, and of what the
// uploads told: empty under a blob's name, a digest and a size under the SHA-1 of
// a static file, JSON under the digest of a zip that was made elsewhere.
func blobsKey(site string) string { return "nightshift:{catalog}:blobs:" + site }

// sha1Field is the field of a static file in blobsKey, given its SHA-1.
func sha1Field(sum string) string { return "sha1:" + sum }

// zipField is the field of a zip that was made elsewhere in blobsKey.
func zipField(digest string) string { return "zip:" + digest }

// publishedKey is the hash of published deploys by site.
func publishedKey() string { return "nightshift:{catalog}:published" }

// versionKey is the number of the catalog's version.
func versionKey() string { return "nightshift:{catalog}:version" }

// missingKey is the set of names of blobs that a deploy waits for.
func missingKey(deployID string) string { return "nightshift:{catalog}:missing:" + deployID }

// environmentKey is the hash of a site's environment variables by name, sealed.
func environmentKey(site string) string { return "nightshift:{catalog}:env:" + site }

// tokensKey is the hash of the tokens of the control plane by ID: all but their
// secrets.
func tokensKey() string { return "nightshift:{access}:tokens" }

// tokenUsesKey is the hash of when tokens were used last, by ID.
func tokenUsesKey() string { return "nightshift:{access}:uses" }

// auditKey is the stream of what was done on the control plane.
func auditKey() string { return "nightshift:{access}:audit" }

// auditRefusedKey is the stream of what was refused there.
func auditRefusedKey() string { return "nightshift:{access}:refused" }

// doomedKey is the set of names of blobs that are being deleted.
func doomedKey() string { return "nightshift:{catalog}:doomed" }

// rateKey is the hash of counters of one rate limit. It has no tag: each is
// alone in its script, and together they are too many for one node. The caller
// is a digest, because it is text of anybody's, and nobody's to keep.
func rateKey(site, function, caller string) string {
	sum := sha256.Sum256([]byte(caller))
	return "nightshift:rate:" + site + ":" + function + ":" + hex.EncodeToString(sum[:12])
}

// workersKey is the hash of workers by ID.
func workersKey() string { return "nightshift:{workers}:live" }

// callKeysKey is the hash of the keys that calls of workers are signed with.
func callKeysKey() string { return "nightshift:{workers}:keys" }

// termKey is the number of the newest term of leadership.
func termKey() string { return "nightshift:{" + string(function.Scheduled) + "}:term" }

// cursorsKey is the hash of schedule cursors.
func cursorsKey() string { return "nightshift:{" + string(function.Scheduled) + "}:cursors" }

// lastFiredKey is the hash of the newest invocations that schedules made, by
// site and function.
func lastFiredKey() string { return "nightshift:{" + string(function.Scheduled) + "}:last" }

// pausesKey is the hash of the pauses of a site's schedules, by function.
func pausesKey(site string) string {
	return "nightshift:{" + string(function.Scheduled) + "}:pauses:" + site
}

// ledgerKey is the list of what became of a schedule's ticks, newest first.
func ledgerKey(schedule string) string {
	return "nightshift:{" + string(function.Scheduled) + "}:entries:" + schedule
}

// tickTotalsKey is the hash of how many ticks had which outcome.
func tickTotalsKey() string { return "nightshift:{" + string(function.Scheduled) + "}:ticks" }

// cancelChannel carries IDs of running invocations that are to be cancelled.
func cancelChannel() string { return "nightshift:cancel" }

// finishedChannel carries IDs of finished invocations that somebody waits for.
func finishedChannel() string { return "nightshift:finished" }

// catalogChannel carries each new version of the catalog.
func catalogChannel() string { return "nightshift:catalog" }

// logChannel carries the live feed of a site's log lines.
func logChannel(site string) string { return "nightshift:logs:" + site }

// recordKinds are the kinds whose invocations have records.
func recordKinds() []function.Kind { return []function.Kind{function.Background, function.Scheduled} }

// hasRecord reports whether invocations of a kind have records.
func hasRecord(kind function.Kind) bool {
	return kind == function.Background || kind == function.Scheduled
}

var (
	deployID   = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	cursorForm = regexp.MustCompile(`^[0-9]{1,19}(-[0-9]{1,19})?$`)
)

// IDs and cursors come from outside, from anybody who can send a request, and
// become parts of keys and commands: only what these accept goes further.

// validID reports whether an invocation ID is a ULID: 26 characters of
// Crockford's base 32, upper case. Each call asks, so it is no regular expression.
func validID(id string) bool {
	return len(id) == 26 && id[0] <= '7' && strings.Trim(id, "0123456789ABCDEFGHJKMNPQRSTVWXYZ") == ""
}

// validDeployID reports whether a deploy ID can be one: 1 to 64 letters,
// digits, hyphens and underscores.
func validDeployID(id string) bool { return deployID.MatchString(id) }

// validCursor reports whether a cursor can be one that [Store.Log] gave.
func validCursor(cursor string) bool { return cursorForm.MatchString(cursor) }

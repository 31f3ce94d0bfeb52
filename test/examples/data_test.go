package examples

import (
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nightshift/nightshift/shared/invocation"
)

func batch(s *site) {
	s.types("curl -i", has("HTTP/1.1 202 "))
	first := s.id
	s.types("curl -i", has("HTTP/1.1 202 ", "Idempotency-Replayed: true", first))
	s.types("curl", has(`"state":"succeeded"`, `503`, `\"imported\":250`))
	s.types("curl", has("imported 100, rejected 1", "imported 250, rejected 2"))
	var contacts []struct{ Name, Email string }
	s.types("curl", func(out string) error { return json.Unmarshal([]byte(out), &contacts) })

	body := s.succeeded(first, 2, http.StatusOK)
	want := `{"imported":250,"rejected":[{"line":42,"reason":"no address: \"\""},{"line":142,"reason":"no address: \"not an address\""}]}`
	if body != want {
		s.Errorf("the result is\n%s\nwant\n%s", body, want)
	}
	addresses := map[string]bool{}
	for _, c := range contacts {
		addresses[c.Email] = true
	}
	if len(contacts) != 250 || len(addresses) != 250 || addresses["not an address"] || !addresses["contact252@example.com"] {
		s.Errorf("the CRM has %d contacts with %d addresses, want 250 with one each", len(contacts), len(addresses))
	}
}

func scraping(s *site) {
	s.types("curl -i", has("HTTP/1.1 202 "))
	first := s.id
	s.types("curl", has("/catalogue answered 503", "attempt 2: 2 items on /catalogue"))
	s.types("curl", has(`"state":"succeeded"`, "Lantern"))
	s.types("curl -i", has("HTTP/1.1 20", "X-Nf-Request-Id: "))

	want := `[{"name":"Lantern","price":24.5},{"name":"Thermos","price":18},{"name":"Blanket","price":39.9},` +
		`{"name":"Kettle","price":21.25},{"name":"Tent","price":189},{"name":"Rope & hooks","price":12.75}]`
	if got := s.succeeded(first, 2, http.StatusOK); got != want {
		s.Errorf("found\n%s\nwant\n%s", got, want)
	}
	if got := s.succeeded(s.id, 1, http.StatusOK); got != want {
		s.Errorf("found the second time\n%s\nwant\n%s", got, want)
	}
}

func media(s *site) {
	s.types("curl -i", has("HTTP/1.1 202 "))
	made := s.id
	s.types("curl", has(`"state":"succeeded"`))
	var small image.Image
	s.types("curl -o thumbnail.png", func(string) (err error) {
		small, err = readPNG(filepath.Join(s.dir, "thumbnail.png"))
		return err
	})
	// The signature was verified by the receiver.
	s.types("curl", has("thumbnails-background "+made+": succeeded"))
	s.types("curl -i", has("HTTP/1.1 ", "X-Nf-Request-Id: "))

	want := `[{"name":"harbour-320.png","width":320,"height":240},{"name":"harbour-64.png","width":64,"height":48}]`
	if got := s.succeeded(made, 1, http.StatusOK); got != want {
		s.Errorf("made\n%s\nwant\n%s", got, want)
	}
	s.succeeded(s.id, 1, http.StatusNotFound)
	if size := small.Bounds().Size(); size != image.Pt(64, 48) {
		s.Fatalf("the thumbnail is %v, want 64 × 48", size)
	}
	// The original goes from black to red across, and from black to green down.
	for _, at := range []image.Point{{0, 0}, {63, 0}, {0, 47}, {32, 24}, {63, 47}} {
		r, g, b, _ := small.At(at.X, at.Y).RGBA()
		wantR, wantG := 255*at.X/63, 255*at.Y/47
		if far(r, wantR) || far(g, wantG) || far(b, 128) {
			s.Errorf("pixel %v is (%d, %d, %d), want about (%d, %d, 128)", at, r>>8, g>>8, b>>8, wantR, wantG)
		}
	}
}

// far tells a colour from what it should be, leaving room for how pixels are averaged.
func far(got uint32, want int) bool {
	difference := int(got>>8) - want
	return difference < -8 || difference > 8
}

func readPNG(path string) (image.Image, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return png.Decode(f)
}

func dashboard(s *site) {
	figures := func(want string) func(string) error {
		return func(out string) error {
			var got map[string]any
			if err := json.Unmarshal([]byte(out), &got); err != nil {
				return fmt.Errorf("%w\n%s", err, out)
			}
			delete(got, "at")
			if text := fmt.Sprint(got); text != want {
				return fmt.Errorf("the figures are %s, want %s", text, want)
			}
			return nil
		}
	}
	s.types("curl -i", has("HTTP/1.1 503 ", "Retry-After: 300"))
	s.types("bin/nightshift schedules trigger", has(""))
	s.types("curl", figures("map[best:Lantern orders:3 revenue:238]"))
	s.types("curl -X POST", has("Kettle"))
	s.types("bin/nightshift schedules trigger", has(""))
	s.types("curl", figures("map[best:Lantern orders:4 revenue:259.25]"))
	s.types("curl", has("<title>Dashboard</title>", "/api/dashboard"))
	s.succeeded(s.id, 1, http.StatusNoContent)
}

func gitBackup(s *site) {
	s.types("bin/nightshift schedules trigger", has(""))
	s.types("curl", has(": customers.json, orders.json"))
	s.types("curl -X POST", has(""))
	s.types("bin/nightshift schedules trigger", has(""))
	s.types("curl", has(": orders.json"))
	second := s.id
	s.types("bin/nightshift schedules trigger", has(""))
	s.types("curl", has("nothing has changed"))
	s.types("git", has("Back up customers.json and orders.json", "Back up orders.json", "Run: "+second))

	git := func(args ...string) string {
		s.Helper()
		cmd := exec.CommandContext(s.Context(), "git", append([]string{"-C", filepath.Join(s.kept, "backup.git")}, args...)...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			s.Fatalf("git %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	git("fsck", "--strict")
	if got := git("rev-list", "--count", "main"); got != "2\n" {
		s.Errorf("the repository has %s commits, want 2", got)
	}
	if got := git("diff", "--name-only", "main~1", "main"); got != "orders.json\n" {
		s.Errorf("the second commit changes %s, want orders.json", got)
	}
	var customers []struct{ Name string }
	check(s.T, json.Unmarshal([]byte(git("show", "main:customers.json")), &customers))
	var orders []struct{ ID, Cents int }
	check(s.T, json.Unmarshal([]byte(git("show", "main:orders.json")), &orders))
	if got := fmt.Sprint(customers, orders); got != "[{Ada} {Ben}] [{1 2450} {2 18900}]" {
		s.Errorf("the backup has %s", got)
	}
}

func compute(s *site) {
	s.types("curl -i", has("HTTP/1.1 20", "X-Nf-Request-Id: "))
	found := s.succeeded(s.id, 1, http.StatusOK)
	s.types("curl -i", has("HTTP/1.1 202 "))
	long := s.id
	s.types("curl", has("60 stops, run "+long, "a shorter tour: "))
	s.types("curl -i -X DELETE", has("HTTP/1.1 202 "))
	s.types("curl", has(`"state":"cancelled"`))
	if got := s.ended(long).State; got != invocation.Cancelled {
		s.Errorf("the long one ends %s", got)
	}
	compareTour(s.T, found, [][2]float64{{0, 0}, {10, 12}, {0, 12}, {10, 0}, {5, 24}, {5, -12}})

	// One that nobody knows the answer of, in every order.
	stops := [][2]float64{{3, 71}, {58, 4}, {91, 88}, {17, 23}, {44, 60}, {79, 35}, {8, 96}, {62, 52}, {33, 9}}
	body, err := json.Marshal(map[string]any{"stops": stops})
	check(s.T, err)
	out, err := s.shell(s.here("curl -si " + dataPlane + "/.netlify/functions/tour-background -d '" + string(body) + "'"))
	check(s.T, err)
	check(s.T, has("HTTP/1.1 202 ")(out))
	compareTour(s.T, s.succeeded(s.id, 1, http.StatusOK), stops)
	// What is no list of stops is answered, and not tried again.
	_, err = s.shell(s.here("curl -si " + dataPlane + `/.netlify/functions/tour-background -d '{"stops":[[1]]}'`))
	check(s.T, err)
	s.succeeded(s.id, 1, http.StatusBadRequest)
}

func reportEmail(s *site) {
	s.types("curl -i", has("HTTP/1.1 20", "X-Nf-Request-Id: "))
	sent := s.id
	s.types("curl", has("451 ", "greylisted", "sent <"+sent+"@report.example.com> to ada@example.com"))
	s.types("curl -i", has("HTTP/1.1 ", "X-Nf-Request-Id: "))
	s.succeeded(sent, 2, http.StatusOK)
	s.succeeded(s.id, 1, http.StatusNotFound)

	mail := s.lettersTo("ada@example.com")["ada@example.com"]
	if mail.id != "<"+sent+"@report.example.com>" || mail.subject != "Orders of 2026-10" {
		s.Errorf("the mail is %s %q", mail.id, mail.subject)
	}
	text := pdfText(s.T, mail.files["report-2026-10.pdf"])
	check(s.T, has("Ordersof2026-10", "2xLantern49.00", "1xTent189.00", "TotalEUR238.00")(text))
}

func invoices(s *site) {
	s.types("bin/nightshift schedules trigger", has(""))
	first := s.id
	s.types("bin/nightshift schedules trigger", has(""))
	s.types("curl", has("2 invoices started"))
	s.succeeded(first, 1, http.StatusOK)
	made := func(n int) func(string) error {
		return func(out string) error {
			var all map[string]struct{ Total int }
			if err := json.Unmarshal([]byte(out), &all); err != nil {
				return fmt.Errorf("%w\n%s", err, out)
			}
			if len(all) != n {
				return fmt.Errorf("%d invoices are made, want %d: %v", len(all), n, slices.Sorted(maps.Keys(all)))
			}
			return nil
		}
	}
	s.types("curl", made(2))
	mails := s.lettersTo("ada@example.com", "ben@example.com") // and nothing twice
	for address, want := range map[string]string{
		"ada@example.com": "ToAdaLantern24.50Blanket39.90Net64.40VAT19%12.24TotalEUR76.64",
		"ben@example.com": "ToBenTent189.00Net189.00VAT19%35.91TotalEUR224.91",
	} {
		number := strings.TrimPrefix(mails[address].subject, "Invoice ")
		text := pdfText(s.T, mails[address].files[number+".pdf"])
		if want = "Invoice" + number + want; text != want {
			s.Errorf("the invoice for %s says\n%s\nwant\n%s", address, text, want)
		}
	}

	s.types("bin/nightshift schedules backfill", has("2026-02-01T05:00:00Z", "2026-03-01T05:00:00Z"))
	s.types("curl", made(6))
	numbers := map[string]int{}
	for _, l := range s.letters() {
		numbers[l.subject]++
	}
	for _, number := range []string{"2026-01-ada", "2026-01-ben", "2026-02-ada", "2026-02-ben"} {
		if numbers["Invoice "+number] != 1 || len(numbers) != 6 {
			s.Errorf("invoice %s was mailed %d times, and %d numbers in all", number, numbers["Invoice "+number], len(numbers))
		}
	}
}

func cartRecovery(s *site) {
	s.types("bin/nightshift schedules trigger", has(""))
	first := s.id
	s.types("bin/nightshift schedules trigger", has(""))
	second := s.id
	s.types("curl", has("attempt 1 ended"))
	s.types("curl", func(out string) error {
		var all map[string]struct{ Sent bool }
		if err := json.Unmarshal([]byte(out), &all); err != nil {
			return fmt.Errorf("%w\n%s", err, out)
		}
		if len(all) != 2 || !all["1"].Sent || !all["2"].Sent {
			return fmt.Errorf("reminders are %s, want those of carts 1 and 2", out)
		}
		return nil
	})
	for _, id := range []string{first, second} {
		if got := s.ended(id); got.State != invocation.Succeeded {
			s.Errorf("a run ends %s: %+v", got.State, got.Attempts)
		}
	}
	s.types("bin/nightshift schedules trigger", has(""))
	s.types("curl", has("attempt 1 ended", "succeeded"))
	mails := s.lettersTo("ada@example.com", "ben@example.com")
	check(s.T, has("In your cart: Tent, Kettle")(mails["ben@example.com"].text))
	if got := mails["ada@example.com"].id; got != "<cart-1@carts.example.com>" {
		s.Errorf("the Message-ID is %s", got)
	}
}

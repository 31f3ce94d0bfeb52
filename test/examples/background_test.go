package examples

import (
	"encoding/json"
	"image"
	"image/png"
	"net/http"
	"os"
	"path/filepath"

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

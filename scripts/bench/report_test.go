package main

import "testing"

func TestSpread(t *testing.T) {
	for name, tt := range map[string]struct {
		values []float64
		want   spread
	}{
		"one":           {[]float64{3}, spread{3, 3, 3, 3, 3}},
		"between two":   {[]float64{2, 1}, spread{1, 1.25, 1.5, 1.75, 2}},
		"any order":     {[]float64{5, 1, 4, 2, 3}, spread{1, 2, 3, 4, 5}},
		"outlier stays": {[]float64{1, 1, 1, 1, 9}, spread{1, 1, 1, 1, 9}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := spreadOfValues(tt.values); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

// Rounds are compared one by one: a slow minute that hits both changes nothing.
func TestRatiosAreTakenWithinARound(t *testing.T) {
	one := []sample{{perSecond: 50}, {perSecond: 5}}
	other := []sample{{perSecond: 100}, {perSecond: 10}}
	if got, want := ratio(one, other, perSecond), (spread{0.5, 0.5, 0.5, 0.5, 0.5}); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

package judge

import (
	"github.com/go-gota/gota/dataframe"
	"github.com/go-gota/gota/series"
)

// frame joins columns of one length into a data frame.
func frame(columns ...series.Series) dataframe.DataFrame { return dataframe.New(columns...) }

// texts and floats are a column of a data frame, a value for each row.
func texts[T any](name string, rows []T, of func(T) string) series.Series {
	return column(name, series.String, rows, of)
}

func floats[T any](name string, rows []T, of func(T) float64) series.Series {
	return column(name, series.Float, rows, of)
}

func column[T, V any](name string, as series.Type, rows []T, of func(T) V) series.Series {
	values := make([]V, len(rows))
	for i, r := range rows {
		values[i] = of(r)
	}
	return series.New(values, as, name)
}

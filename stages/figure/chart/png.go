package chart

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"hash/crc32"
	"image"
	"io"

	"git.sr.ht/~sbinet/gg"
	"golang.org/x/image/draw"
	"golang.org/x/image/math/f64"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/vgimg"
)

// DotsPerInch is the resolution of a PNG.
const DotsPerInch = 300

// writePNG writes the image chunk by chunk (RFC 2083) and not by image/png, which
// tries five filters on every row: on lines and flat colours they gain nothing,
// and take most of the time. Nor does it write the resolution, by which the image
// knows its size on paper.
func (c *Chart) writePNG(w io.Writer) error {
	img := c.pixels()
	var data bytes.Buffer
	z, err := zlib.NewWriterLevel(&data, zlib.BestSpeed)
	if err != nil {
		return err
	}
	width, height := img.Rect.Dx(), img.Rect.Dy()
	row := make([]byte, 1+3*width) // its filter, which is none, and its pixels, all opaque
	for y := range height {
		from, to := img.Pix[y*img.Stride:][:4*width], row[1:]
		for len(from) >= 4 && len(to) >= 3 {
			to[0], to[1], to[2] = from[0], from[1], from[2]
			from, to = from[4:], to[3:]
		}
		if _, err := z.Write(row); err != nil {
			return err
		}
	}
	if err := z.Close(); err != nil {
		return err
	}
	const perMetre = DotsPerInch * 10000 / 254
	size := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, uint32(width)), uint32(height))
	dots := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, perMetre), perMetre)
	out := []byte("\x89PNG\r\n\x1a\n")
	for _, c := range []struct {
		name string
		data []byte
	}{
		{"IHDR", append(size, 8, 2, 0, 0, 0)}, // 8 bits each of red, green and blue
		{"pHYs", append(dots, 1)},             // per metre
		{"IDAT", data.Bytes()},
		{"IEND", nil},
	} {
		out = binary.BigEndian.AppendUint32(out, uint32(len(c.data)))
		from := len(out)
		out = append(append(out, c.name...), c.data...)
		out = binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(out[from:]))
	}
	_, err = w.Write(out)
	return err
}

// pixels draws the chart as an image.
func (c *Chart) pixels() *image.RGBA {
	dots := func(l vg.Length) int { return int(l/vg.Inch*DotsPerInch + 0.5) }
	img := image.NewRGBA(image.Rect(0, 0, dots(c.Width), dots(c.Height)))
	// As vgimg prepares it, less a copy of the image.
	context := gg.NewContextForRGBA(img)
	context.SetInterpolator(upright{draw.BiLinear})
	context.SetLineCapButt()
	context.InvertY()
	c.Draw(vgimg.NewWith(func(canvas *vgimg.Canvas) uint32 {
		vgimg.UseImageWithContext(img, context)(canvas)
		return vgimg.UseWH(c.Width, c.Height)(canvas)
	}, vgimg.UseDPI(DotsPerInch), vgimg.UseBackgroundColor(White)))
	return img
}

// An upright interpolator lays a glyph on an image as the one within does, where it
// stands upright and each of its pixels on one of the image's: there is then nothing to
// interpolate.
type upright struct{ draw.Interpolator }

func (u upright) Transform(dst draw.Image, s2d f64.Aff3, src image.Image, glyph image.Rectangle, op draw.Op, opts *draw.Options) {
	to, rgba := dst.(*image.RGBA)
	ink, flat := src.(*image.Uniform)
	x, y := int(s2d[2]), int(s2d[5])
	if !rgba || !flat || op != draw.Over || opts == nil || opts.DstMask != nil || s2d != (f64.Aff3{1, 0, float64(x), 0, 1, float64(y)}) {
		u.Interpolator.Transform(dst, s2d, src, glyph, op, opts)
		return
	}
	mask, alpha := opts.SrcMask.(*image.Alpha)
	if !alpha {
		u.Interpolator.Transform(dst, s2d, src, glyph, op, opts)
		return
	}
	r, g, b, a := ink.RGBA()
	at := glyph.Add(image.Pt(x, y))
	from := glyph.Min.Add(opts.SrcMaskP).Sub(at.Min) // of the mask, where the image has 0, 0
	at = at.Intersect(to.Rect)
	for y := at.Min.Y; y < at.Max.Y; y++ {
		for x := at.Min.X; x < at.Max.X; x++ {
			covered := uint32(mask.AlphaAt(x+from.X, y+from.Y).A) * 0x101
			if covered == 0 {
				continue
			}
			const most = 0xffff
			rest := most - a*covered/most
			p := to.Pix[to.PixOffset(x, y):][:4]
			for i, v := range [4]uint32{r, g, b, a} {
				p[i] = uint8((uint32(p[i])*0x101*rest/most + v*covered/most) >> 8)
			}
		}
	}
}

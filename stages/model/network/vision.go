package network

import (
	"fmt"
	"math"
	"strconv"

	"barograph/stages/model/onnx"
)

// branch is around what the weights of a residual branch's last normalisation are
// drawn: small, so that a sum over many blocks keeps its scale.
const branch = 0.25

// ResNet is the residual network of He et al. (2016), https://arxiv.org/abs/1512.03385,
// of bottleneck blocks, computed as in torchvision (the stride in a block's 3x3
// convolution).
type ResNet struct {
	Blocks  []int64 `json:"blocks" required:"true"` // of each stage
	Width   int64   `json:"width" required:"true"`  // channels of the first
	Classes int64   `json:"classes" required:"true"`
	Image   int64   `json:"image" required:"true"` // height and width, in pixels
}

func (r *ResNet) Check() *Fault {
	f := first(sizes(1, "width", r.Width, "classes", r.Classes, "image", r.Image), checkImage(r.Image))
	switch {
	case f != nil:
		return f
	case len(r.Blocks) < 1 || len(r.Blocks) > 8:
		return &Fault{"blocks", fmt.Sprintf("%d stages, not from 1 to 8", len(r.Blocks)), ""}
	case r.Width > 1<<12:
		return &Fault{"width", fmt.Sprintf("%d is not from 1 to %d", r.Width, 1<<12), ""}
	}
	for _, b := range r.Blocks {
		if b < 1 || b > 256 {
			return &Fault{"blocks", fmt.Sprintf("%d blocks, not from 1 to 256", b), ""}
		}
	}
	return nil
}

func (r *ResNet) Limits() map[string]int64 { return nil }

func (r *ResNet) Build(w Weights) *Network {
	n := newNetwork("resnet", w, classifierDeviation)
	x := n.image(r.Image)
	x = n.relu("relu", n.batchNorm("bn1", n.conv("conv1", x, 3, r.Width, 7, 2, 1), r.Width, 1))
	x = n.maxPool("maxpool", x, 3, 2)
	in, width := r.Width, r.Width
	for s, blocks := range r.Blocks {
		for b := range blocks {
			stride := int64(1)
			if b == 0 && s > 0 {
				stride = 2
			}
			x = bottleneck(n, fmt.Sprintf("layer%d.%d", s+1, b), x, in, width, stride)
			in = 4 * width
		}
		width *= 2
	}
	n.classify("fc", x, in, r.Classes)
	return n
}

// bottleneck is a block of 1x1, 3x3 and 1x1 convolutions beside a short cut, to
// four times the width.
func bottleneck(n *Network, scope, x string, in, width, stride int64) string {
	h := n.relu(scope, n.batchNorm(scope+".bn1", n.conv(scope+".conv1", x, in, width, 1, 1, 1), width, 1))
	h = n.relu(scope, n.batchNorm(scope+".bn2", n.conv(scope+".conv2", h, width, width, 3, stride, 1), width, 1))
	h = n.batchNorm(scope+".bn3", n.conv(scope+".conv3", h, width, 4*width, 1, 1, 1), 4*width, branch)
	if stride != 1 || in != 4*width {
		x = n.batchNorm(scope+".downsample.1", n.conv(scope+".downsample.0", x, in, 4*width, 1, stride, 1), 4*width, 1)
	}
	return n.relu(scope, n.Op(scope, "Add", []string{h, x}))
}

// MobileNet is MobileNetV2 of Sandler et al. (2018), https://arxiv.org/abs/1801.04381,
// computed as in torchvision.
type MobileNet struct {
	Stem    int64     `json:"stem" required:"true"`   // channels of the first convolution
	Stages  [][]int64 `json:"stages" required:"true"` // expansion, channels, blocks, stride: the paper's t, c, n, s
	Head    int64     `json:"head" required:"true"`   // channels of the last convolution
	Classes int64     `json:"classes" required:"true"`
	Image   int64     `json:"image" required:"true"`
}

func (m *MobileNet) Check() *Fault {
	if f := first(sizes(1, "stem", m.Stem, "head", m.Head, "classes", m.Classes, "image", m.Image), checkImage(m.Image)); f != nil {
		return f
	}
	if len(m.Stages) < 1 || len(m.Stages) > 64 {
		return &Fault{"stages", fmt.Sprintf("%d stages, not from 1 to 64", len(m.Stages)), ""}
	}
	for i, s := range m.Stages {
		if len(s) != 4 || min(s[0], s[1], s[2], s[3]) < 1 || s[0] > 64 || s[1] > 1<<14 || s[2] > 256 || s[3] > 2 {
			return &Fault{fmt.Sprintf("stages[%d]", i), fmt.Sprintf("%d is no stage", s),
				"a stage is [expansion, channels, blocks, stride], as in [6, 24, 2, 2]"}
		}
	}
	return nil
}

func (m *MobileNet) Limits() map[string]int64 { return nil }

func (m *MobileNet) Build(w Weights) *Network {
	n := newNetwork("mobilenetv2", w, classifierDeviation)
	unit := func(conv, norm, x string, in, out, kernel, stride, groups int64) string {
		x = n.batchNorm(norm, n.conv(conv, x, in, out, kernel, stride, groups), out, 1)
		return n.Op(conv, "Clip", []string{x, n.scalar(0), n.scalar(6)})
	}
	x := unit("features.0.0", "features.0.1", n.image(m.Image), 3, m.Stem, 3, 2, 1)
	in, at := m.Stem, 1
	for _, s := range m.Stages {
		for b := range s[2] {
			stride := int64(1)
			if b == 0 {
				stride = s[3]
			}
			scope := fmt.Sprintf("features.%d", at)
			h, wide, part := x, in*s[0], 0
			name := func(suffix string) string { return fmt.Sprintf("%s.conv.%d%s", scope, part, suffix) }
			if s[0] > 1 {
				h = unit(name(".0"), name(".1"), h, in, wide, 1, 1, 1)
				part++
			}
			h = unit(name(".0"), name(".1"), h, wide, wide, 3, stride, wide)
			part++
			h = n.conv(name(""), h, wide, s[1], 1, 1, 1)
			part++
			if stride == 1 && in == s[1] {
				x = n.Op(scope, "Add", []string{x, n.batchNorm(name(""), h, s[1], branch)})
			} else {
				x = n.batchNorm(name(""), h, s[1], 1)
			}
			in = s[1]
			at++
		}
	}
	x = unit(fmt.Sprintf("features.%d.0", at), fmt.Sprintf("features.%d.1", at), x, in, m.Head, 1, 1, 1)
	n.classify("classifier.1", x, m.Head, m.Classes)
	return n
}

// UNet is the U-Net of Ronneberger et al. (2015), https://arxiv.org/abs/1505.04597,
// with normalisation and padding, as in Buda et al.'s brain-segmentation-pytorch.
type UNet struct {
	Channels int64 `json:"channels" required:"true"` // of the image
	Features int64 `json:"features" required:"true"` // of the first level; each further one has twice as many
	Levels   int64 `json:"levels" required:"true"`
	Classes  int64 `json:"classes" required:"true"`
	Image    int64 `json:"image" required:"true"`
}

func (u *UNet) Check() *Fault {
	f := first(sizes(1, "channels", u.Channels, "features", u.Features, "levels", u.Levels, "classes", u.Classes, "image", u.Image), checkImage(u.Image))
	switch {
	case f != nil:
		return f
	case u.Levels > 8:
		return &Fault{"levels", fmt.Sprintf("%d is not from 1 to 8", u.Levels), ""}
	case u.Features > 1<<12:
		return &Fault{"features", fmt.Sprintf("%d is not from 1 to %d", u.Features, 1<<12), ""}
	case u.Image%(1<<u.Levels) != 0:
		return &Fault{"image", fmt.Sprintf("%d cannot be halved %d times", u.Image, u.Levels), ""}
	}
	return nil
}

func (u *UNet) Limits() map[string]int64 { return nil }

func (u *UNet) Build(w Weights) *Network {
	n := newNetwork("unet", w, classifierDeviation)
	side := strconv.FormatInt(u.Image, 10)
	x := n.input("image", "batch", strconv.FormatInt(u.Channels, 10), side, side)
	block := func(scope, name, x string, in, out int64) string {
		for _, i := range []string{"1", "2"} {
			x = n.batchNorm(scope+"."+name+"norm"+i, n.conv(scope+"."+name+"conv"+i, x, in, out, 3, 1, 1), out, 1)
			x = n.relu(scope, x)
			in = out
		}
		return x
	}
	in := u.Channels
	var skips []string
	for l := int64(1); l <= u.Levels; l++ {
		out := u.Features << (l - 1)
		x = block(fmt.Sprintf("encoder%d", l), fmt.Sprintf("enc%d", l), x, in, out)
		skips = append(skips, x)
		x = n.maxPool(fmt.Sprintf("pool%d", l), x, 2, 2)
		in = out
	}
	x = block("bottleneck", "bottleneck", x, in, 2*in)
	for l := u.Levels; l >= 1; l-- {
		out := u.Features << (l - 1)
		up := fmt.Sprintf("upconv%d", l)
		x = n.Op(up, "ConvTranspose", []string{x, n.weight(up+".weight", 0, 1/math.Sqrt(float64(2*out)), 2*out, out, 2, 2), n.parameter(up+".bias", 0, out)},
			onnx.Ints("kernel_shape", 2, 2), onnx.Ints("strides", 2, 2))
		x = n.Op(up, "Concat", []string{x, skips[l-1]}, onnx.Int("axis", 1))
		x = block(fmt.Sprintf("decoder%d", l), fmt.Sprintf("dec%d", l), x, 2*out, out)
	}
	x = n.Op("conv", "Conv", []string{x, n.weight("conv.weight", 0, 2/math.Sqrt(float64(u.Features)), u.Classes, u.Features, 1, 1), n.parameter("conv.bias", 0, u.Classes)},
		onnx.Ints("kernel_shape", 1, 1))
	n.result("mask", "Sigmoid", []string{x})
	n.Output("mask", onnx.Float32, "batch", strconv.FormatInt(u.Classes, 10), side, side)
	return n
}

// classifierDeviation is that of the weights that are no convolution's.
const classifierDeviation = 0.05

// image adds an input of square colour images.
func (n *Network) image(side int64) string {
	s := strconv.FormatInt(side, 10)
	return n.input("image", "batch", "3", s, s)
}

func checkImage(side int64) *Fault {
	if side > 1<<13 {
		return &Fault{"image", fmt.Sprintf("%d is not from 1 to %d", side, 1<<13), ""}
	}
	return nil
}

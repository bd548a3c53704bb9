#!/usr/bin/python3
"""Convert a TensorFlow.js graph model, Robust Video Matting's or NanoDet's, into a flat, static, NCHW ONNX file (opset
13, IR 7).

  tfjs2onnx.py rvm.json --size 512x288 -o rvm_512x288.onnx
  tfjs2onnx.py nanodet.json -o nanodet.onnx

The graph is walked once at a fixed size. Whatever depends on shapes or constants only (Shape, Pack, StridedSlice, Switch
and Merge, ...) is computed here; what remains is a straight list of ONNX nodes. SpaceToBatchND and BatchToSpaceND around
a convolution become its dilation, explicit padding becomes its pads, a Transpose is remembered as an order of axes and
made only where that order shows, and quantised weights are expanded to float32 as q * scale + min. The same input gives
the same bytes. The weights are read from the folder of the JSON file.

With --size the graph is Robust Video Matting's, its downsample ratio fixed at 1. Inputs: src [1,3,H,W], RGB 0..1, and the
recurrent states r1i..r4i at 1/2, 1/4, 1/8, 1/16 of the size (zeros at first). Outputs: fgr [1,3,H,W], pha [1,1,H,W],
r1o..r4o. Without it, inputs and outputs are what the file says, in its own order of axes.

Needs Debian's python3-numpy and python3-onnx; runs at set-up only.
"""
import argparse
import base64
import hashlib
import json
import os
import sys

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper, shape_inference

OPSET = 13
STATE_CHANNELS = (16, 20, 40, 64)
OUTPUTS = {'Identity': 'fgr', 'Identity_1': 'pha', 'Identity_2': 'r1o', 'Identity_3': 'r2o', 'Identity_4': 'r3o',
           'Identity_5': 'r4o'}
NHWC = (0, 2, 3, 1)  # ONNX's axis of each of TensorFlow's
DEAD = object()  # an output of a Switch on the side that is not taken


class Tensor:
    """A value computed at run time: its ONNX name and shape, and the axis that each of TensorFlow's axes is there."""

    def __init__(self, name, shape, axes=NHWC):
        self.name = name
        self.shape = tuple(int(v) for v in shape)
        self.axes = tuple(axes)
        self.pad = None       # (tensor before an explicit Pad, its pads an ONNX axis, its fill)
        self.to_batch = None  # (source, block, pads) of a SpaceToBatchND that no convolution has taken yet
        self.dilated = False  # made by a convolution that took one

    def own_shape(self):
        return [self.shape[a] for a in self.axes]

    def onnx_order(self, own):
        """Reorders a list that has an item for each of TensorFlow's axes."""
        return [own[self.axes.index(a)] for a in range(len(self.shape))]


def load(path):
    """Returns the nodes by name, the weights by name, dequantised, and the signature."""
    with open(path, encoding='utf-8') as f:
        model = json.load(f)
    weights = {}
    for group in model['weightsManifest']:
        blob = b''
        for shard in group['paths']:
            with open(os.path.join(os.path.dirname(path), shard), 'rb') as f:
                blob += f.read()
        at = 0
        for w in group['weights']:
            quant = w.get('quantization')
            dtype = np.dtype(quant['dtype'] if quant else w['dtype'])
            count = int(np.prod(w['shape']))
            a = np.frombuffer(blob, dtype, count, at).reshape(w['shape'])
            at += a.nbytes
            if quant and a.dtype == np.float16:
                a = a.astype(np.float32)
            elif quant:
                a = (a.astype(np.float64) * quant['scale'] + quant['min']).astype(np.float32)
            weights[w['name']] = a
        if at != len(blob):
            raise ValueError(f'{path}: the weights hold {len(blob)} bytes, the manifest describes {at}')
    return {n['name']: n for n in model['modelTopology']['node']}, weights, model.get('signature')


def same_pad(size, kernel, stride):
    """TensorFlow's SAME padding (before, after)."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def text(attribute):
    return base64.b64decode(attribute['s']).decode()


def ints(attribute):
    return [int(v) for v in attribute['list'].get('i', [])]


def i64(values):
    return np.array(values, np.int64)


ELEMENTWISE = {'Add': ('Add', np.add), 'AddV2': ('Add', np.add), 'Sub': ('Sub', np.subtract),
               'Mul': ('Mul', np.multiply), 'Minimum': ('Min', np.minimum), 'Maximum': ('Max', np.maximum),
               'FloorMod': ('Mod', np.mod)}


class Converter:
    def __init__(self, nodes, weights, inputs):
        self.nodes = nodes
        self.weights = weights
        self.values = inputs  # node name -> list of its outputs, each a Tensor or a constant array in TFJS layout
        self.onnx_nodes = []
        self.initializers = {}
        self.count = 0

    def name(self, prefix):
        self.count += 1
        return f'{prefix}{self.count}'

    def init(self, a):
        a = np.ascontiguousarray(a)
        key = (a.tobytes(), a.shape, a.dtype.str)
        if key not in self.initializers:
            self.initializers[key] = (self.name('w'), a)
        return self.initializers[key][0]

    def emit(self, op, inputs, shape, axes=NHWC, **attributes):
        out = Tensor(self.name(op.lower()), shape, axes)
        self.onnx_nodes.append(helper.make_node(op, inputs, [out.name], **attributes))
        return out

    def unary(self, op, x, **attributes):
        return self.emit(op, [x.name], x.shape, x.axes, **attributes)

    def plain(self, x):
        """x in TensorFlow's own order of axes."""
        if x.axes == tuple(range(len(x.axes))):
            return x
        return self.emit('Transpose', [x.name], x.own_shape(), range(len(x.axes)), perm=x.axes)

    def elementwise(self, op, a, b):
        onnx_op, compute = ELEMENTWISE[op]
        if not isinstance(a, Tensor) and not isinstance(b, Tensor):
            return compute(a, b)
        names, shapes = [], []
        axes = {v.axes for v in (a, b) if isinstance(v, Tensor)}
        if len(axes) != 1:
            raise NotImplementedError(f'{op} of tensors with other orders of axes')
        axes, = axes
        for v in (a, b):
            if not isinstance(v, Tensor):
                c = np.asarray(v, np.float32)
                if c.ndim:
                    c = c.reshape([1] * (len(axes) - c.ndim) + list(c.shape)).transpose(np.argsort(axes))
                v = Tensor(self.init(c), c.shape)
            names.append(v.name)
            shapes.append(v.shape)
        return self.emit(onnx_op, names, np.broadcast_shapes(*shapes), axes)

    def slice(self, x, starts, ends, axes):
        shape = list(x.shape)
        for start, end, axis in zip(starts, ends, axes):
            shape[axis] = end - start
        if tuple(shape) == x.shape:
            return x
        return self.emit('Slice', [x.name, self.init(i64(starts)), self.init(i64(ends)), self.init(i64(axes))], shape, x.axes)

    def split(self, x, sizes, axis):
        outs = []
        for size in sizes:
            shape = list(x.shape)
            shape[axis] = size
            outs.append(Tensor(self.name('split'), shape, x.axes))
        self.onnx_nodes.append(helper.make_node('Split', [x.name, self.init(i64(sizes))], [o.name for o in outs],
                                                axis=axis))
        return outs

    # one method an operator: the node's attributes and inputs; returns one output or a list of them
    def op_Identity(self, attr, x, *_):
        return x

    def op_Equal(self, attr, a, b):
        return np.equal(a, b)

    def op_Squeeze(self, attr, x):
        return np.squeeze(x)

    def op_Shape(self, attr, x):
        return np.array(x.own_shape(), np.int32)

    def op_Pack(self, attr, *parts):
        return np.stack(parts, int(attr['axis']['i']))

    def op_StridedSlice(self, attr, x, begin, end, step):
        if any(int(attr[k]['i']) for k in ('begin_mask', 'end_mask', 'ellipsis_mask', 'new_axis_mask')):
            raise NotImplementedError('StridedSlice with a mask')
        if int(attr['shrink_axis_mask']['i']):
            return x[int(begin[0])]
        return x[int(begin[0]):int(end[0]):int(step[0])]

    def op_Slice(self, attr, x, begin, size):
        end = [b + s if s >= 0 else d for b, s, d in zip(begin, size, x.own_shape())]
        begin, end = ([int(v) for v in x.onnx_order(own)] for own in (begin, end))
        return self.slice(x, begin, end, [0, 1, 2, 3])

    def op_Relu(self, attr, x):
        return self.unary('Relu', x)

    def op_Sigmoid(self, attr, x):
        return self.unary('Sigmoid', x)

    def op_Tanh(self, attr, x):
        return self.unary('Tanh', x)

    def op_Relu6(self, attr, x):
        return self.emit('Clip', [x.name, self.init(np.float32(0)), self.init(np.float32(6))], x.shape, x.axes)

    def op_LeakyRelu(self, attr, x):
        return self.unary('LeakyRelu', x, alpha=attr['alpha']['f'])

    def op_Transpose(self, attr, x, order):
        out = Tensor(x.name, x.shape, [x.axes[int(i)] for i in order])
        out.pad = x.pad
        return out

    def op_Reshape(self, attr, x, shape):
        if not isinstance(x, Tensor):
            return np.reshape(x, shape)
        x = self.plain(x)
        shape = np.empty(x.shape, np.void).reshape(shape).shape  # resolves a -1
        return self.emit('Reshape', [x.name, self.init(i64(shape))], shape, range(len(shape)))

    def op_SparseToDense(self, attr, indices, shape, values, default):
        if np.size(values):
            raise NotImplementedError('SparseToDense of more than its default')
        return np.full(shape, default)

    def op_Mean(self, attr, x, axes):
        if sorted(int(a) for a in axes) != [1, 2] or not attr['keep_dims']['b']:
            raise NotImplementedError('Mean over other than H and W')
        return self.emit('GlobalAveragePool', [x.name], (*x.shape[:2], 1, 1))

    def op_ConcatV2(self, attr, *parts):
        *parts, axis = parts
        if not isinstance(parts[0], Tensor):
            return np.concatenate(parts, int(axis))
        axes = parts[0].axes
        if any(p.axes != axes for p in parts):
            raise NotImplementedError('ConcatV2 of tensors with other orders of axes')
        axis = axes[int(axis)]
        shape = list(parts[0].shape)
        shape[axis] = sum(p.shape[axis] for p in parts)
        return self.emit('Concat', [p.name for p in parts], shape, axes, axis=axis)

    def op_Split(self, attr, axis, x):
        axis, count = x.axes[int(axis)], int(attr['num_split']['i'])
        return self.split(x, [x.shape[axis] // count] * count, axis)

    def op_SplitV(self, attr, x, sizes, axis):
        return self.split(x, [int(v) for v in sizes], x.axes[int(axis)])

    def op_BroadcastTo(self, attr, x, shape):
        if x.own_shape() != [int(v) for v in shape]:
            raise NotImplementedError('BroadcastTo of a state that has not its full size')
        return x

    def op_Pad(self, attr, x, pads, fill=0):
        pads = np.array(x.onnx_order(pads))
        if not pads.any():
            return x
        inputs = [x.name, self.init(i64([*pads[:, 0], *pads[:, 1]]))] + ([self.init(np.float32(fill))] if fill else [])
        out = self.emit('Pad', inputs, [d + sum(p) for d, p in zip(x.shape, pads)], x.axes, mode='constant')
        out.pad = x, pads, fill
        return out

    op_PadV2 = op_Pad

    def op_SpaceToBatchND(self, attr, x, block, pads):
        out = Tensor(x.name, x.shape)
        out.to_batch = x, [int(v) for v in block], [[int(v) for v in p] for p in pads]
        return out

    def op_BatchToSpaceND(self, attr, x, block, crops):
        if not x.dilated:
            raise NotImplementedError('BatchToSpaceND without a convolution after SpaceToBatchND')
        (top, bottom), (left, right) = [[int(v) for v in c] for c in crops]
        return self.slice(x, [top, left], [x.shape[2] - bottom, x.shape[3] - right], [2, 3])

    def op_ResizeBilinear(self, attr, x, size):
        if not attr['half_pixel_centers']['b'] or attr['align_corners']['b']:
            raise NotImplementedError('ResizeBilinear without half pixel centres')
        shape = (*x.shape[:2], *size)
        if tuple(shape) == x.shape:
            return x
        return self.emit('Resize', [x.name, '', '', self.init(i64(shape))], shape, mode='linear',
                         coordinate_transformation_mode='half_pixel')

    def op_MaxPool(self, attr, x):
        kernel, stride = ints(attr['ksize'])[1:3], ints(attr['strides'])[1:3]
        if text(attr['padding']) != 'VALID' or x.axes != NHWC:
            raise NotImplementedError('MaxPool other than VALID of N,H,W,C')
        shape = (*x.shape[:2], *[(d - k) // s + 1 for d, k, s in zip(x.shape[2:], kernel, stride)])
        (top, bottom), (left, right) = (0, 0), (0, 0)
        if x.pad and x.pad[2] == -np.inf and not x.pad[1][:2].any():  # what ONNX's own padding is
            x, (_, _, (top, bottom), (left, right)), _ = x.pad
        return self.emit('MaxPool', [x.name], shape, kernel_shape=kernel, strides=stride,
                         pads=[int(v) for v in (top, left, bottom, right)])

    def op_AvgPool(self, attr, x):
        kernel, stride = ints(attr['ksize'])[1:3], ints(attr['strides'])[1:3]
        if text(attr['padding']) != 'SAME':
            raise NotImplementedError('AvgPool other than SAME')
        ph, pw = [same_pad(*v) for v in zip(x.shape[2:], kernel, stride)]
        return self.emit('AveragePool', [x.name], (*x.shape[:2], *[-(-d // s) for d, s in zip(x.shape[2:], stride)]),
                         kernel_shape=kernel, strides=stride, pads=[ph[0], pw[0], ph[1], pw[1]], count_include_pad=0)

    def convolution(self, attr, x, w, bias, depthwise):
        stride, dilation = ints(attr['strides'])[1:3], [1, 1]
        kernel = w.shape[:2]
        source = x
        if x.to_batch:
            source, dilation, (ph, pw) = x.to_batch
        elif text(attr['padding']) == 'SAME':
            ph, pw = [same_pad(*v) for v in zip(x.shape[2:], kernel, stride)]
        else:
            ph, pw = (0, 0), (0, 0)
        if x.axes != NHWC or attr.get('data_format', {'s': 'TkhXQw=='})['s'] != 'TkhXQw==':
            raise NotImplementedError('a convolution of other than N,H,W,C')
        if x.pad and not x.pad[1][:2].any() and not x.pad[2]:
            source, (_, _, ph, pw) = x.pad[0], x.pad[1] + np.array([(0, 0), (0, 0), ph, pw])
        group = w.shape[2] if depthwise else 1
        if source.shape[1] != w.shape[2]:
            raise NotImplementedError(f'a convolution of {source.shape[1]} channels by {w.shape[2]}')
        w = w.transpose(2, 3, 0, 1).reshape(-1, 1, *kernel) if depthwise else w.transpose(3, 2, 0, 1)
        size = [(source.shape[2 + i] + sum(p) - (kernel[i] - 1) * dilation[i] - 1) // stride[i] + 1
                for i, p in enumerate((ph, pw))]
        inputs = [source.name, self.init(w)] + ([] if bias is None else [self.init(np.asarray(bias, np.float32))])
        out = self.emit('Conv', inputs, (source.shape[0], w.shape[0], *size), kernel_shape=kernel, strides=stride,
                        dilations=dilation, group=group, pads=[int(v) for v in (ph[0], pw[0], ph[1], pw[1])])
        out.dilated = x.to_batch is not None
        return out

    def fused(self, attr, x, w, bias, depthwise):
        first, *rest = [base64.b64decode(v).decode() for v in attr['fused_ops']['list']['s']]
        if first != 'BiasAdd' or rest not in ([], ['Relu']):
            raise NotImplementedError(f'a convolution fused with {first} {rest}')
        out = self.convolution(attr, x, w, bias, depthwise)
        return self.unary('Relu', out) if rest else out

    def op_Conv2D(self, attr, x, w):
        return self.convolution(attr, x, w, None, False)

    def op_DepthwiseConv2dNative(self, attr, x, w):
        return self.convolution(attr, x, w, None, True)

    def op__FusedConv2D(self, attr, x, w, bias):
        return self.fused(attr, x, w, bias, False)

    def op_FusedDepthwiseConv2dNative(self, attr, x, w, bias):
        return self.fused(attr, x, w, bias, True)

    # the whole graph
    def run(self, node):
        """Returns the list of a node's outputs."""
        op = node['op']
        if op == 'Const':
            return [self.weights[node['name']]]
        if op == 'NoOp':
            return []
        inputs = []
        for source in node.get('input', []):
            if not source.startswith('^'):
                name, _, index = source.partition(':')
                outs = self.values[name]
                inputs.append(outs[int(index or 0)] if outs else None)
        if op == 'Merge':
            live = [v for v in inputs if v is not DEAD]
            if len(live) != 1:
                raise ValueError('Merge with other than one live input')
            return [live[0], np.int32(0)]
        if any(v is DEAD for v in inputs):
            return [DEAD] * 4
        if op == 'Switch':
            return [DEAD, inputs[0]] if inputs[1] else [inputs[0], DEAD]
        if op in ELEMENTWISE:
            return [self.elementwise(op, *inputs)]
        method = getattr(self, 'op_' + op, None)
        if method is None:
            raise NotImplementedError(f'TensorFlow.js operator {op}')
        out = method(node.get('attr', {}), *inputs)
        return out if isinstance(out, list) else [out]

    def compute(self, name):
        """Computes a node after the nodes that it needs (iterative: the graph is deeper than Python's stack)."""
        stack = [name]
        while stack:
            node = self.nodes[stack[-1]]
            needed = [s.partition(':')[0] for s in node.get('input', []) if not s.startswith('^')]
            missing = [s for s in needed if s not in self.values]
            if missing:
                stack.append(missing[0])
                continue
            stack.pop()
            if node['name'] not in self.values:
                try:
                    self.values[node['name']] = self.run(node)
                except Exception as e:
                    raise type(e)(f"{node['op']} {node['name']}: {e}") from e
        return self.values[name][0]


def trace_rvm(nodes, weights, width, height):
    """Returns the converter, the inputs' shapes and the outputs by name, for one input size."""
    shapes = {'src': (1, 3, height, width)}
    for i, channels in enumerate(STATE_CHANNELS, 1):
        shapes[f'r{i}i'] = (1, channels, height >> i, width >> i)
    inputs = {name: [Tensor(name, shape)] for name, shape in shapes.items()}
    inputs['downsample_ratio'] = [np.float32(1)]
    converter = Converter(nodes, weights, inputs)
    return converter, shapes, {out: converter.compute(name) for name, out in OUTPUTS.items()}


def trace(nodes, weights, signature):
    """The same for a graph that names its inputs, with fixed shapes, and its outputs."""
    def names(kind):
        return [v['name'].partition(':')[0] for v in signature[kind].values()]
    shapes = {name: [int(d['size']) for d in nodes[name]['attr']['shape']['shape']['dim']] for name in names('inputs')}
    converter = Converter(nodes, weights, {n: [Tensor(n, s, range(len(s)))] for n, s in shapes.items()})
    return converter, shapes, {n: converter.plain(converter.compute(n)) for n in sorted(names('outputs'))}


def convert(path, size):
    """Returns the ONNX model; size is None or Robust Video Matting's (width, height)."""
    nodes, weights, signature = load(path)
    converter, shapes, values = trace_rvm(nodes, weights, *size) if size else trace(nodes, weights, signature)
    outputs = [helper.make_tensor_value_info(out, TensorProto.FLOAT, v.shape) for out, v in values.items()]
    converter.onnx_nodes += [helper.make_node('Identity', [v.name], [out]) for out, v in values.items()]

    needed, kept = {o.name for o in outputs}, []
    for node in reversed(converter.onnx_nodes):
        if needed.intersection(node.output):
            kept.append(node)
            needed.update(node.input)
    graph = helper.make_graph(
        kept[::-1], 'g', [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in shapes.items()], outputs,
        [numpy_helper.from_array(a, name) for name, a in converter.initializers.values() if name in needed])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', OPSET)])
    model.ir_version = 7
    checker.check_model(model)
    return shape_inference.infer_shapes(model, strict_mode=True)


def rvm_size(text):
    width, height = (int(v) for v in text.split('x'))
    if width <= 0 or height <= 0 or width % 16 or height % 16:
        sys.exit(f'tfjs2onnx.py: --size {text}: width and height must be multiples of 16')
    return width, height


def main():
    parser = argparse.ArgumentParser(description='a TensorFlow.js graph model to ONNX')
    parser.add_argument('json', help='rvm.json or nanodet.json; its weights lie beside it')
    parser.add_argument('--size', type=rvm_size, metavar='WxH',
                        help="the graph is Robust Video Matting's; of the input, both multiples of 16")
    parser.add_argument('-o', '--out', required=True)
    args = parser.parse_args()
    data = convert(args.json, args.size).SerializeToString()
    with open(args.out, 'wb') as f:
        f.write(data)
    print(f'{hashlib.sha256(data).hexdigest()}  {args.out}')


if __name__ == '__main__':
    main()

#!/usr/bin/python3
"""MediaPipe's multiclass selfie segmenter, a TFLite file, to ONNX (opset 13, float32).

  tflite2onnx.py selfie_multiclass_256x256.tflite -o multiclass.onnx

Covers the operators of that network. Tensors keep TFLite's N,H,W,C order, with a transposition before and after what
ONNX has in N,C,H,W only: the executor cancels them. Outputs are `classes` [1,C,H,W], the probabilities of background,
hair, skin of the body and of the face, clothes and others, and `alpha` [1,1,H,W], of all but the background.
The FlatBuffer is read directly, by the places of fields in TFLite's schema. Prints the file's SHA-256.
"""
import argparse
import hashlib
import struct
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

# of enum BuiltinOperator
OPERATORS = {0: 'ADD', 3: 'CONV_2D', 4: 'DEPTHWISE_CONV_2D', 18: 'MUL', 22: 'RESHAPE', 23: 'RESIZE_BILINEAR',
             25: 'SOFTMAX', 39: 'TRANSPOSE', 67: 'TRANSPOSE_CONV', 74: 'SUM', 97: 'RESIZE_NEAREST_NEIGHBOR'}
TYPES = {0: np.float32, 2: np.int32}  # of enum TensorType
ACTIVATIONS = {0: None, 1: 'Relu'}    # of enum ActivationFunctionType


class Table:
    """A table of a FlatBuffer; its fields are called by their place in the schema."""

    def __init__(self, data, at):
        self.data, self.at = data, at
        self.fields = at - self.unpack('i', at)
        self.size = self.unpack('H', self.fields)

    def unpack(self, kind, at):
        return struct.unpack_from('<' + kind, self.data, at)[0]

    def place(self, field):
        entry = 4 + 2 * field
        offset = self.unpack('H', self.fields + entry) if entry < self.size else 0
        return self.at + offset if offset else None

    def number(self, field, kind, otherwise=0):
        at = self.place(field)
        return otherwise if at is None else self.unpack(kind, at)

    def target(self, field):
        at = self.place(field)
        return None if at is None else at + self.unpack('I', at)

    def table(self, field):
        return Table(self.data, self.target(field))

    def numbers(self, field, kind):
        at = self.target(field)
        return np.zeros(0, kind) if at is None else np.frombuffer(self.data, kind, self.unpack('I', at), at + 4)

    def tables(self, field):
        at = self.target(field)
        places = [] if at is None else [at + 4 + 4 * i for i in range(self.unpack('I', at))]
        return [Table(self.data, place + self.unpack('I', place)) for place in places]


def same_padding(size, kernel, stride, dilation):
    reach = (kernel - 1) * dilation + 1
    total = max((-(-size // stride) - 1) * stride + reach - size, 0)
    return total // 2, total - total // 2


class Converter:
    def __init__(self, data):
        root = Table(data, struct.unpack_from('<I', data, 0)[0])
        codes = [max(code.number(3, 'i'), code.number(0, 'b')) for code in root.tables(1)]
        self.operators = [OPERATORS.get(code, f'number {code}') for code in codes]
        self.graph = root.tables(2)[0]
        self.shapes, self.constants = [], {}
        buffers = root.tables(4)
        for i, tensor in enumerate(self.graph.tables(0)):
            self.shapes.append([int(size) for size in tensor.numbers(0, '<i4')])
            raw = buffers[tensor.number(2, 'I')].numbers(0, 'u1')
            if len(raw):
                kind = TYPES[tensor.number(1, 'b')]
                self.constants[i] = np.frombuffer(raw.tobytes(), kind).reshape(self.shapes[i])
        self.names, self.nodes, self.weights = {}, [], {}

    def emit(self, operator, inputs, **attributes):
        name = f'{operator.lower()}{len(self.nodes)}'
        self.nodes.append(helper.make_node(operator, inputs, [name], **attributes))
        return name

    def weight(self, values):
        values = np.ascontiguousarray(values)
        key = values.tobytes(), values.shape, values.dtype.str
        return self.weights.setdefault(key, (f'w{len(self.weights)}', values))[0]

    def value(self, tensor):
        return self.names[tensor] if tensor in self.names else self.weight(self.constants[tensor])

    def channels_first(self, operator, tensor, more, **attributes):
        first = self.emit('Transpose', [self.value(tensor)], perm=[0, 3, 1, 2])
        return self.emit('Transpose', [self.emit(operator, [first] + more, **attributes)], perm=[0, 2, 3, 1])

    def activate(self, name, code):
        return self.emit(ACTIVATIONS[code], [name]) if ACTIVATIONS[code] else name

    def convolution(self, inputs, options, depthwise):
        kernel = self.constants[inputs[1]].transpose((3, 0, 1, 2) if depthwise else (0, 3, 1, 2))
        first = 4 if depthwise else 3  # padding, stride W and H, [multiplier], activation, dilation W and H
        strides = [options.number(field, 'i', 1) for field in (2, 1)]
        dilations = [options.number(first + field, 'i', 1) for field in (2, 1)]
        pads = np.zeros((2, 2), int)
        if options.number(0, 'b') == 0:  # SAME
            pads = np.array([same_padding(self.shapes[inputs[0]][1 + i], kernel.shape[2 + i], strides[i], dilations[i])
                             for i in range(2)])
        made = self.channels_first('Conv', inputs[0], [self.weight(kernel), self.value(inputs[2])],
                                   kernel_shape=kernel.shape[2:], strides=strides, dilations=dilations,
                                   pads=pads.T.flatten().tolist(),
                                   group=self.shapes[inputs[0]][3] if depthwise else 1)
        return self.activate(made, options.number(first, 'b'))

    def transposed_convolution(self, inputs, options, shape):
        kernel = self.constants[inputs[1]].transpose(3, 0, 1, 2)
        strides = [options.number(field, 'i', 1) for field in (2, 1)]
        more = [max((self.shapes[inputs[2]][1 + i] - 1) * strides[i] + kernel.shape[2 + i] - shape[1 + i], 0)
                for i in range(2)]
        return self.channels_first('ConvTranspose', inputs[2], [self.weight(kernel), self.value(inputs[3])],
                                   kernel_shape=kernel.shape[2:], strides=strides,
                                   pads=[v // 2 for v in more] + [v - v // 2 for v in more])

    def resize(self, inputs, options, shape, linear):
        first = 2 if linear else 0  # align_corners, half_pixel_centers; linear has its size before them
        corners, half = options.number(first, 'b'), options.number(first + 1, 'b')
        sizes = self.weight(np.array([shape[0], shape[3], shape[1], shape[2]], np.int64))
        how = {'mode': 'linear'} if linear else \
            {'mode': 'nearest', 'nearest_mode': 'round_prefer_floor' if half else 'floor'}
        return self.channels_first('Resize', inputs[0], ['', '', sizes], coordinate_transformation_mode=(
            'align_corners' if corners else 'half_pixel' if half else 'asymmetric'), **how)

    def convert_one(self, operator, inputs, options, shape):
        if operator in ('CONV_2D', 'DEPTHWISE_CONV_2D'):
            return self.convolution(inputs, options, operator[0] == 'D')
        if operator == 'TRANSPOSE_CONV':
            return self.transposed_convolution(inputs, options, shape)
        if operator in ('RESIZE_BILINEAR', 'RESIZE_NEAREST_NEIGHBOR'):
            return self.resize(inputs, options, shape, operator.endswith('BILINEAR'))
        if operator in ('ADD', 'MUL'):
            made = self.emit(operator.capitalize(), [self.value(i) for i in inputs])
            return self.activate(made, options.number(0, 'b'))
        if operator == 'RESHAPE':
            return self.emit('Reshape', [self.value(inputs[0]), self.weight(np.array(shape, np.int64))])
        if operator == 'TRANSPOSE':
            return self.emit('Transpose', [self.value(inputs[0])], perm=self.constants[inputs[1]].tolist())
        if operator == 'SOFTMAX':
            return self.emit('Softmax', [self.value(inputs[0])], axis=-1)
        if operator == 'SUM':
            axes = self.weight(np.atleast_1d(self.constants[inputs[1]]).astype(np.int64))
            return self.emit('ReduceSum', [self.value(inputs[0]), axes], keepdims=options.number(0, 'b'))
        raise SystemExit(f'tflite2onnx.py: the operator {operator} is not converted')

    def convert(self):
        picture, logits = (int(self.graph.numbers(field, '<i4')[0]) for field in (1, 2))
        _, height, width, colours = self.shapes[picture]
        classes = self.shapes[logits][3]
        self.names[picture] = self.emit('Transpose', ['input'], perm=[0, 2, 3, 1])
        for op in self.graph.tables(3):
            out = int(op.numbers(2, '<i4')[0])
            self.names[out] = self.convert_one(self.operators[op.number(0, 'I')],
                                               [int(i) for i in op.numbers(1, '<i4')],
                                               op.table(4) if op.place(4) else None, self.shapes[out])
        first = self.emit('Transpose', [self.names[logits]], perm=[0, 3, 1, 2])
        self.nodes.append(helper.make_node('Softmax', [first], ['classes'], axis=1))
        bounds = [self.weight(np.array([v], np.int64)) for v in (0, 1, 1)]
        background = self.emit('Slice', ['classes'] + bounds)
        self.nodes.append(helper.make_node('Sub', [self.weight(np.float32(1)), background], ['alpha']))
        ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, channels, height, width])
                for name, channels in (('input', colours), ('classes', classes), ('alpha', 1))]
        graph = helper.make_graph(self.nodes, 'multiclass', ends[:1], ends[1:],
                                  [numpy_helper.from_array(values, name) for name, values in self.weights.values()])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 13)])
        model.ir_version = 7
        onnx.checker.check_model(model)
        return model


def main():
    parser = argparse.ArgumentParser(description="MediaPipe's multiclass segmenter to ONNX")
    parser.add_argument('tflite')
    parser.add_argument('-o', '--out', required=True)
    args = parser.parse_args()
    with open(args.tflite, 'rb') as f:
        data = f.read()
    if data[4:8] != b'TFL3':
        sys.exit(f'tflite2onnx.py: {args.tflite} is not a TFLite file')
    made = Converter(data).convert().SerializeToString()
    with open(args.out, 'wb') as f:
        f.write(made)
    print(f'{hashlib.sha256(made).hexdigest()}  {args.out}')


if __name__ == '__main__':
    main()

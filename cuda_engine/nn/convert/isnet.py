#!/usr/bin/python3
"""Give ISNet's published ONNX file another input size, and keep only what its alpha needs.

  isnet.py isnet.onnx --size 768x768 -o isnet_768x768.onnx

The published file has its nodes out of order, five side outputs and six feature maps beside the alpha, and the sizes to
which feature maps are enlarged as constants for an input of 1024x1024. This writes the nodes that the first output needs,
producers first, with those sizes scaled. Weights stay as they are, float16. The same input gives the same bytes.

Needs Debian's python3-numpy and python3-onnx; runs at set-up only.
"""
import argparse
import hashlib
import sys

import numpy as np
import onnx
from onnx import helper, numpy_helper

PUBLISHED = 1024
DEEPEST = 64  # the deepest feature map is a 64th of the input


def producers_first(nodes, output):
    """Returns the nodes that output needs (iterative: the graph is deeper than Python's stack)."""
    producer = {name: node for node in nodes for name in node.output}
    order, seen, stack = [], set(), [(producer[output], False)]
    while stack:
        node, expanded = stack.pop()
        if expanded:
            order.append(node)
        elif node.output[0] not in seen:
            seen.add(node.output[0])
            stack.append((node, True))
            stack += [(producer[name], False) for name in node.input if name in producer]
    return order


def scaled(node, width, height):
    """Returns a Constant of a height and a width, for another input size."""
    h, w = numpy_helper.to_array(node.attribute[0].t)
    size = np.array([h * height // PUBLISHED, w * width // PUBLISHED], np.int64)
    return helper.make_node('Constant', [], node.output, value=numpy_helper.from_array(size))


def convert(path, width, height):
    model = onnx.load(path)
    graph = model.graph
    alpha = graph.output[0]
    nodes = producers_first(graph.node, alpha.name)
    producer = {name: i for i, node in enumerate(nodes) for name in node.output}
    sizes = set()  # Resize's sizes: Concat(batch and channels, a constant)
    for node in nodes:
        if node.op_type == 'Resize':
            sizes.add(producer[nodes[producer[node.input[3]]].input[1]])
    for i in sizes:
        nodes[i] = scaled(nodes[i], width, height)
    for value in (graph.input[0], alpha):
        value.type.tensor_type.shape.dim[2].dim_value = height
        value.type.tensor_type.shape.dim[3].dim_value = width
    graph = helper.make_graph(nodes, graph.name, graph.input, [alpha], graph.initializer)
    needed = {name for node in nodes for name in node.input}
    unused = [t for t in graph.initializer if t.name not in needed]
    for tensor in unused:
        graph.initializer.remove(tensor)
    made = helper.make_model(graph, opset_imports=model.opset_import)
    made.ir_version = model.ir_version
    onnx.checker.check_model(made)
    return made


def main():
    parser = argparse.ArgumentParser(description="ISNet's ONNX file at another input size")
    parser.add_argument('onnx')
    parser.add_argument('--size', required=True, metavar='WxH', help=f'of the input, both multiples of {DEEPEST}')
    parser.add_argument('-o', '--out', required=True)
    args = parser.parse_args()
    width, height = (int(v) for v in args.size.split('x'))
    if width <= 0 or height <= 0 or width % DEEPEST or height % DEEPEST:
        sys.exit(f'isnet.py: --size {args.size}: width and height must be multiples of {DEEPEST}')
    data = convert(args.onnx, width, height).SerializeToString()
    with open(args.out, 'wb') as f:
        f.write(data)
    print(f'{hashlib.sha256(data).hexdigest()}  {args.out}')


if __name__ == '__main__':
    main()

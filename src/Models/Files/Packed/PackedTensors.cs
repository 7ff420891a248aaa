using Ndif.Models.Config;
using ErrorCode = Ndif.Protocol.ErrorCode;

namespace Ndif.Models.Files.Packed;

/// <summary>
/// Finds the packed weights among the tensors of a checkpoint. Several tensors are one weight: <c>q_proj.qweight</c>, <c>q_proj.qzeros</c>
/// and <c>q_proj.scales</c> are <c>q_proj.weight</c>.
/// </summary>
/// <remarks>
/// GPTQ: auto_gptq/nn_modules/qlinear/qlinear_cuda_old.py. AWQ: awq/modules/linear/gemm.py. FP8 by blocks:
/// transformers/integrations/finegrained_fp8.py. compressed-tensors: compressors/quantized_compressors in
/// https://github.com/neuralmagic/compressed-tensors. MXFP4: transformers/integrations/mxfp4.py and OCP Microscaling Formats (MX)
/// Specification v1.0, section 5.3.
/// </remarks>
/// <param name="tensors">The stored tensors by name: packed weights take the place of their parts.</param>
/// <param name="addresses">The address of a stored tensor.</param>
/// <param name="label">The checkpoint in error messages.</param>
internal sealed unsafe class PackedTensors(
    Dictionary<string, CheckpointTensor> tensors, Func<string, nint> addresses, string label)
{
    /// <summary>float8, float32 and so on: what a packed weight is after <see cref="CheckpointTensor.Read"/>.</summary>
    private static readonly SafetensorsDType _float32 = SafetensorsDType.FindByName("F32")!;

    private static readonly sbyte[] _signedNibbles = [.. Enumerable.Range(-8, 16).Select(value => (sbyte)value)];

    /// <summary>The values of float4_e2m1 times two.</summary>
    private static readonly sbyte[] _fp4 = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

    /// <summary>The order in which awq stores the output features of an int32.</summary>
    private static readonly int[] _awqOrder = [0, 2, 4, 6, 1, 3, 5, 7];

    /// <summary>Scales of activations and of cached keys and values, which are not quantized here.</summary>
    private static readonly string[] _ignored =
        [".input_scale", ".output_scale", ".input_zero_point", ".output_zero_point", ".k_scale", ".v_scale", ".activation_scale"];

    /// <summary>Replaces the parts of packed weights by the weights.</summary>
    /// <exception cref="CheckpointException">A part is missing or has a wrong shape or type; the message names it.</exception>
    public void Combine(ConfigReader config)
    {
        if (Quantization.Read(config) is not { } quantization) return;
        foreach (string name in tensors.Keys.ToArray())
            if (Array.Exists(_ignored, end => name.EndsWith(end, StringComparison.Ordinal))) tensors.Remove(name);
        foreach (string name in tensors.Keys.ToArray())
        {
            if (!tensors.ContainsKey(name)) continue;
            switch (quantization.Method)
            {
                case "gptq" when Prefix(name, ".qweight") is { } module: AddGptq(module, quantization); break;
                case "awq" when Prefix(name, ".qweight") is { } module: AddAwq(module, quantization); break;
                case "fp8" when Prefix(name, ".weight") is { } module && IsFloat8(name):
                    AddScaled(module, tensors.ContainsKey(module + ".weight_scale_inv") ? ".weight_scale_inv" : ".weight_scale",
                        quantization.Fp8BlockSize);
                    break;
                case "compressed-tensors" when Prefix(name, ".weight_packed") is { } module: AddPackQuantized(module, quantization); break;
                case "compressed-tensors" when Prefix(name, ".weight") is { } module && tensors.ContainsKey(module + ".weight_scale"):
                    AddScaled(module, ".weight_scale", null);
                    break;
                case "mxfp4" when Prefix(name, "_blocks") is { } module: AddMxfp4(module); break;
            }
        }
        RemoveZeroBiases(quantization);
    }

    private static string? Prefix(string name, string end) => name.EndsWith(end, StringComparison.Ordinal) ? name[..^end.Length] : null;

    private bool IsFloat8(string name) => tensors[name].Entry.DType.Name == "F8_E4M3";

    /// <summary>
    /// GPTQ: qweight [inFeatures / 8, out] packed along the input features, qzeros [groups, out / 8], scales [groups, out].
    /// </summary>
    private void AddGptq(string module, Quantization quantization)
    {
        int bits = quantization.Bits, perInt = PerInt(bits, quantization, "bits");
        SafetensorsEntry weight = Part(module + ".qweight", "I32", 2), zeros = Part(module + ".qzeros", "I32", 2);
        SafetensorsEntry scales = Part(module + ".scales", null, 2);
        long inFeatures = weight.Shape[0] * perInt, rows = weight.Shape[1], groups = scales.Shape[0];
        if (groups == 0) throw Invalid(scales.Name, "has no groups");
        CheckShape(scales, groups, rows);
        CheckShape(zeros, groups, (rows + perInt - 1) / perInt);
        SafetensorsEntry? indices = tensors.ContainsKey(module + ".g_idx") ? Part(module + ".g_idx", "I32", 1) : null;
        if (indices is not null) CheckShape(indices, inFeatures);
        int* index = indices is null ? null : (int*)addresses(indices.Name);
        long groupSize = (inFeatures + groups - 1) / Math.Max(1, groups);
        bool isOrdered = true; // without act-order the groups are blocks of consecutive input features
        for (long k = 0; index is not null && k < inFeatures; k++)
        {
            if ((uint)index[k] >= groups) throw Invalid(indices!.Name, $"has group {index[k]}, and there are {groups}");
            isOrdered &= index[k] == k / groupSize;
        }
        uint* packed = (uint*)addresses(weight.Name), packedZeros = (uint*)addresses(zeros.Name);
        FloatReader scale = FloatReader.Of(scales, addresses(scales.Name));
        int one = quantization.SubtractsOneFromZeros ? 1 : 0, mask = (1 << bits) - 1;
        int blockSize = isOrdered ? (int)groupSize : 1; // with act-order each input feature has the scale of its group
        bool hasOffsets = !AreAll(zeros, (1 << (bits - 1)) - one, bits);
        Add(module + ".weight", [rows, inFeatures], bits, blockSize, hasOffsets, [weight, zeros, scales, indices],
            (row, codes, rowScales, offsets) =>
            {
                int center = bits == 4 ? 8 : 1 << (bits - 1);
                for (long k = 0; k < codes.Length; k++)
                    codes[(int)k] = Code((int)(packed[k / perInt * rows + row] >> (int)(k % perInt * bits)) & mask, bits);
                for (int block = 0; block < rowScales.Length; block++)
                {
                    long group = isOrdered ? block : index[block];
                    int zero = (int)((packedZeros[group * zeros.Shape[1] + row / perInt] >> (int)(row % perInt * bits)) & mask) + one;
                    float value = scale.At(group * rows + row);
                    rowScales[block] = value;
                    if (hasOffsets) offsets[block] = (center - zero) * value;
                }
            });
    }

    /// <summary>
    /// AWQ: qweight [inFeatures, out / 8] packed along the output features, qzeros [groups, out / 8], scales [groups, out].
    /// </summary>
    private void AddAwq(string module, Quantization quantization)
    {
        quantization.RequireAwqGemm();
        if (quantization.Bits != 4) throw quantization.InvalidValue("bits", "must be 4", $"{quantization.Bits}");
        SafetensorsEntry weight = Part(module + ".qweight", "I32", 2), scales = Part(module + ".scales", null, 2);
        SafetensorsEntry zeros = Part(module + ".qzeros", "I32", 2);
        long inFeatures = weight.Shape[0], packedColumns = weight.Shape[1], rows = packedColumns * 8, groups = scales.Shape[0];
        CheckShape(scales, groups, rows);
        CheckShape(zeros, groups, packedColumns);
        if (groups == 0 || inFeatures % groups != 0) throw Invalid(scales.Name, $"has {groups} groups for {inFeatures} input features");
        uint* packed = (uint*)addresses(weight.Name), packedZeros = (uint*)addresses(zeros.Name);
        FloatReader scale = FloatReader.Of(scales, addresses(scales.Name));
        int[] shifts = [.. Enumerable.Range(0, 8).Select(column => 4 * Array.IndexOf(_awqOrder, column))];
        bool hasOffsets = !AreAll(zeros, 8, bits: 4);
        Add(module + ".weight", [rows, inFeatures], 4, (int)(inFeatures / groups), hasOffsets, [weight, zeros, scales],
            (row, codes, rowScales, offsets) =>
            {
                long column = row / 8;
                int shift = shifts[row % 8];
                for (long k = 0; k < codes.Length; k++) codes[(int)k] = (sbyte)((packed[k * packedColumns + column] >> shift) & 15);
                for (int group = 0; group < rowScales.Length; group++)
                {
                    int zero = (int)(packedZeros[group * packedColumns + column] >> shift) & 15;
                    float value = scale.At(group * rows + row);
                    rowScales[group] = value;
                    if (hasOffsets) offsets[group] = (8 - zero) * value;
                }
            });
    }

    /// <summary>
    /// A weight in float8 or int8 with a scale for each block of rows and columns, for each output feature, or for the tensor.
    /// </summary>
    private void AddScaled(string module, string scaleName, (int Rows, int Columns)? blocks)
    {
        SafetensorsEntry weight = Part(module + ".weight", null, 2), scales = Part(module + scaleName, null, null);
        bool isInt8 = weight.DType.Name == "I8";
        if (!isInt8 && weight.DType.Name != "F8_E4M3")
            throw Invalid(weight.Name, $"is {weight.DType.Name}, and only F8_E4M3 and I8 are packed with a scale");
        long rows = weight.Shape[0], inFeatures = weight.Shape[1];
        long scaleRows = scales.Shape.Length == 2 ? scales.Shape[0] : Math.Max(1, TensorShape.ElementCount(scales.Shape));
        long scaleColumns = scales.Shape.Length == 2 ? scales.Shape[1] : 1;
        (long blockRows, long blockColumns) = blocks is { } size && scales.Shape.Length == 2 && scaleRows * scaleColumns > 1 ? size
            : (Divide(rows, scaleRows), Divide(inFeatures, scaleColumns));
        if (scaleRows != Divide(rows, blockRows) || scaleColumns != Divide(inFeatures, blockColumns))
            throw Invalid(scales.Name, $"has shape [{string.Join(", ", scales.Shape)}], which does not fit [{rows}, {inFeatures}]");
        SafetensorsEntry? zeros = tensors.ContainsKey(module + ".weight_zero_point") ? Part(module + ".weight_zero_point", null, null)
            : null;
        bool hasZeros = isInt8 && zeros is { DType.Name: "I8" } && TensorShape.ElementCount(zeros.Shape) == scaleRows * scaleColumns;
        sbyte* values = (sbyte*)addresses(weight.Name), zeroPoints = hasZeros ? (sbyte*)addresses(zeros!.Name) : null;
        FloatReader scale = FloatReader.Of(scales, addresses(scales.Name));
        Add(module + ".weight", new BlockLayout(rows, (int)inFeatures, isInt8 ? BlockCode.Int8 : BlockCode.Float8, (int)blockColumns,
            hasZeros, []),
            [rows, inFeatures], false, [weight, scales, zeros], (row, codes, rowScales, offsets) =>
            {
                new ReadOnlySpan<sbyte>(values + row * inFeatures, (int)inFeatures).CopyTo(codes);
                for (int block = 0; block < rowScales.Length; block++)
                {
                    long at = row / blockRows * scaleColumns + block;
                    rowScales[block] = scale.At(at);
                    if (hasZeros) offsets[block] = -zeroPoints[at] * rowScales[block];
                }
            });
    }

    /// <summary>compressed-tensors, pack-quantized: weight_packed [out, inFeatures / 8], low bits first, scales [out, groups].</summary>
    private void AddPackQuantized(string module, Quantization quantization)
    {
        int bits = quantization.CompressedBits, perInt = PerInt(bits, quantization, "config_groups");
        SafetensorsEntry weight = Part(module + ".weight_packed", "I32", 2), scales = Part(module + ".weight_scale", null, 2);
        SafetensorsEntry shape = Part(module + ".weight_shape", "I64", 1);
        SafetensorsEntry? zeros = tensors.ContainsKey(module + ".weight_zero_point") ? Part(module + ".weight_zero_point", "I32", 2) : null;
        SafetensorsEntry? indices = tensors.ContainsKey(module + ".weight_g_idx") ? Part(module + ".weight_g_idx", "I32", 1) : null;
        CheckShape(shape, 2);
        long rows = ((long*)addresses(shape.Name))[0], inFeatures = ((long*)addresses(shape.Name))[1], groups = scales.Shape[1];
        if (rows <= 0 || inFeatures is <= 0 or > int.MaxValue) throw Invalid(shape.Name, $"is [{rows}, {inFeatures}]");
        if (groups == 0) throw Invalid(scales.Name, "has no groups");
        CheckShape(weight, rows, Divide(inFeatures, perInt));
        CheckShape(scales, rows, groups);
        if (zeros is not null) CheckShape(zeros, Divide(rows, perInt), groups);
        int* index = indices is null ? null : (int*)addresses(indices.Name);
        if (indices is not null) CheckShape(indices, inFeatures);
        long groupSize = Divide(inFeatures, groups);
        bool isOrdered = true;
        for (long k = 0; index is not null && k < inFeatures; k++)
        {
            if ((uint)index[k] >= groups) throw Invalid(indices!.Name, $"has group {index[k]}, and there are {groups}");
            isOrdered &= index[k] == k / groupSize;
        }
        uint* packed = (uint*)addresses(weight.Name), packedZeros = zeros is null ? null : (uint*)addresses(zeros.Name);
        FloatReader scale = FloatReader.Of(scales, addresses(scales.Name));
        int mask = (1 << bits) - 1, center = 1 << (bits - 1);
        long packedColumns = weight.Shape[1];
        Add(module + ".weight", [rows, inFeatures], bits, isOrdered ? (int)groupSize : 1, zeros is not null,
            [weight, scales, shape, zeros, indices],
            (row, codes, rowScales, offsets) =>
            {
                for (long k = 0; k < codes.Length; k++)
                    codes[(int)k] = Code((int)(packed[row * packedColumns + k / perInt] >> (int)(k % perInt * bits)) & mask, bits);
                for (int block = 0; block < rowScales.Length; block++)
                {
                    long group = isOrdered ? block : index[block];
                    rowScales[block] = scale.At(row * groups + group);
                    if (packedZeros is null) continue;
                    int zero = (int)((packedZeros[row / perInt * groups + group] >> (int)(row % perInt * bits)) & mask) - center;
                    offsets[block] = -zero * rowScales[block];
                }
            });
    }

    /// <summary>
    /// MXFP4: blocks [experts, out, inFeatures / 32, 16] of float4_e2m1, low four bits first, and scales, exponents with bias 127. The
    /// parameter is [experts, inFeatures, out].
    /// </summary>
    private void AddMxfp4(string module)
    {
        SafetensorsEntry weight = Part(module + "_blocks", "U8", 4), scales = Part(module + "_scales", "U8", 3);
        long experts = weight.Shape[0], rows = weight.Shape[1], blocks = weight.Shape[2];
        CheckShape(weight, experts, rows, blocks, 16);
        CheckShape(scales, experts, rows, blocks);
        byte* packed = (byte*)addresses(weight.Name), exponents = (byte*)addresses(scales.Name);
        Add(module, new BlockLayout(experts * rows, checked((int)(blocks * 32)), BlockCode.Nibble, 32, false, _fp4),
            [experts, blocks * 32, rows], true,
            [weight, scales], (row, codes, rowScales, _) =>
            {
                byte* from = packed + row * blocks * 16;
                for (int i = 0; i < codes.Length / 2; i++) (codes[2 * i], codes[2 * i + 1]) = ((sbyte)(from[i] & 15),
                    (sbyte)(from[i] >> 4));
                for (int block = 0; block < rowScales.Length; block++) // the values are doubled
                    rowScales[block] = (float)Math.ScaleB(1, exponents[row * blocks + block] - 128);
            });
    }

    /// <summary>Whether all packed zero points are those of a symmetric weight, which needs no offsets.</summary>
    private bool AreAll(SafetensorsEntry zeros, int value, int bits)
    {
        uint pattern = 0;
        for (int shift = 0; shift < 32; shift += bits) pattern |= (uint)value << shift;
        return !new ReadOnlySpan<uint>((void*)addresses(zeros.Name),
            checked((int)(zeros.Length / sizeof(uint)))).ContainsAnyExcept(pattern);
    }

    private static long Divide(long count, long size) => (count + size - 1) / Math.Max(1, size);

    /// <summary>The code of an unsigned integer of a few bits: itself if they are four, otherwise centered.</summary>
    private static sbyte Code(int value, int bits) => (sbyte)(bits == 4 ? value : value - (1 << (bits - 1)));

    private static int PerInt(int bits, Quantization quantization, string key) => bits is 2 or 4 or 8 ? 32 / bits
        : throw quantization.InvalidValue(key, "must have 2, 4 or 8 bits", $"{bits}");

    private void Add(string name, long[] shape, int bits, int blockSize, bool hasOffsets, SafetensorsEntry?[] parts, RowReader readRow) =>
        Add(name, new BlockLayout(shape[0], checked((int)shape[1]), bits == 4 ? BlockCode.Nibble : BlockCode.Int8, blockSize, hasOffsets,
            bits == 4 ? _signedNibbles : []), shape, false, parts, readRow);

    private void Add(string name, BlockLayout layout, long[] shape, bool isTransposed, SafetensorsEntry?[] parts, RowReader readRow)
    {
        CheckpointTensor[] stored = [.. parts.OfType<SafetensorsEntry>().Select(part => tensors[part.Name])];
        foreach (CheckpointTensor part in stored) tensors.Remove(part.Entry.Name);
        SafetensorsEntry entry = new(name, _float32, shape, 0, stored.Sum(part => part.Entry.Length));
        if (!tensors.TryAdd(name, new PackedTensor(entry, layout, isTransposed, readRow, () =>
            Array.ForEach(stored, part => part.ReleasePages()))))
            throw Invalid(name, "is there, and so are its packed parts");
    }

    /// <summary>The entry of a part, checked to have a type and a number of dimensions.</summary>
    private SafetensorsEntry Part(string name, string? dtype, int? dimensions)
    {
        if (!tensors.TryGetValue(name, out CheckpointTensor? tensor))
            throw Errors.CreateException(ErrorCode.BadCheckpoint, $"{label} has no `{name}`, a part of a packed weight.",
                Errors.DidYouMean(name, tensors.Keys), name);
        SafetensorsEntry entry = tensor.Entry;
        if (dtype is not null && entry.DType.Name != dtype) throw Invalid(name, $"is {entry.DType.Name}, not {dtype}");
        if (dimensions is { } count && entry.Shape.Length != count) throw Invalid(name,
            $"has {entry.Shape.Length} dimensions, not {count}");
        return entry;
    }

    private void CheckShape(SafetensorsEntry entry, params long[] expected)
    {
        if (!entry.Shape.AsSpan().SequenceEqual(expected))
            throw Invalid(entry.Name, $"has shape [{string.Join(", ", entry.Shape)}], and the other parts ask for "
                + $"[{string.Join(", ", expected)}]");
    }

    /// <summary>AutoGPTQ writes biases of zeros for layers that have none.</summary>
    private void RemoveZeroBiases(Quantization quantization)
    {
        if (quantization.Method is not ("gptq" or "awq")) return;
        foreach (string name in tensors.Keys.Where(name => name.EndsWith(".bias", StringComparison.Ordinal)).ToArray())
        {
            SafetensorsEntry bias = tensors[name].Entry;
            bool isPacked = tensors.GetValueOrDefault(name[..^".bias".Length] + ".weight") is PackedTensor;
            if (isPacked && !new ReadOnlySpan<byte>((void*)addresses(name),
                checked((int)bias.Length)).ContainsAnyExcept((byte)0)) ZeroBiases.Add(name);
        }
    }

    /// <summary>Biases of packed layers that are all zero: they may be left out if the model has no place for them.</summary>
    public HashSet<string> ZeroBiases { get; } = [];

    private Exception Invalid(string name, string what) => Errors.CreateException(ErrorCode.BadCheckpoint,
        $"{label}: `{name}` {what}.", "The file is damaged, or quantization_config is not its own.", name);
}

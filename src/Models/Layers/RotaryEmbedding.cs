using Ndif.Models.ForwardSource;
using static TorchSharp.torch;

namespace Ndif.Models.Layers;

/// <summary>Rotary position embeddings: the cosines and sines of the positions of a pass, computed once for all layers.</summary>
/// <remarks>LlamaRotaryEmbedding in transformers/models/llama/modeling_llama.py; Su et al., RoFormer, 2021</remarks>
/// <param name="className">The class name in Hugging Face's code of the model: "LlamaRotaryEmbedding".</param>
/// <param name="frequencies">The frequencies of the rotated dimensions.</param>
/// <param name="passesPositionIdsByPosition">Whether the model passes the positions as a positional argument.</param>
/// <param name="isFloat32">Whether the result is float32 in a model of another type, for <see cref="RotateInFloat32"/>.</param>
/// <param name="pairs">The layout of the result.</param>
/// <param name="sections">
/// The numbers of frequencies for the three positions of a token of an image or video, which alternate; null if a token has one position.
/// Then position ids are [3, batch, seq]: for a text three times the same.
/// </param>
/// <param name="inputAxes">The axes of the tensor that the model passes, if it is not [batch, seq, ...].</param>
[SharedLayer]
public sealed partial class RotaryEmbedding(
    string className, RotaryFrequencies frequencies, bool passesPositionIdsByPosition = false, bool isFloat32 = false,
    RotaryPairs pairs = RotaryPairs.Halves, IReadOnlyList<int>? sections = null,
    Axes? inputAxes = null) : SiteModule
{
    private readonly bool _isComplex = pairs is RotaryPairs.Complex, _isRepeated = pairs is RotaryPairs.AdjacentRepeated;
    private readonly bool _isConcatenated = pairs is RotaryPairs.Halves or RotaryPairs.Adjacent;
    private readonly IReadOnlyList<int>? _sections = sections;

    public override string ClassName => className;

    /// <summary>The length up to which the frequencies of a row are the same; null if they do not depend on the length.</summary>
    internal long? LengthThreshold => frequencies.LengthThreshold;

    /// <param name="hidden">A tensor with the device of the result and, unless that is float32, its dtype.</param>
    /// <param name="positionIds">[batch, seq] int64</param>
    /// <returns>Cosines and sines, each [batch, seq, rotaryDim]; or one complex tensor [batch, seq, rotaryDim/2].</returns>
    public object?[] Call(Tensor hidden, Tensor positionIds) => _sections is null ? CallWith(hidden, positionIds)
        : CallWith(hidden, positionIds.unsqueeze(0).expand(3, -1, -1)); // [3, batch, seq]

    public override Axes InputAxes(string argument) =>
        _sections is not null && argument is "1" or "position_ids" ? new Axes(1, 2)
        : argument is "0" or "x" ? inputAxes ?? Axes.Hidden : Axes.Hidden;

    private object?[] CallWith(Tensor hidden, Tensor positionIds) => Hook is { } observer
        ? CallHooked<object?[]>(observer, passesPositionIdsByPosition
            ? new Arguments([hidden, positionIds], [])
            : new Arguments([hidden], [new("position_ids", positionIds)]))
        : Forward(hidden, positionIds);

    public override object? Run(Arguments arguments) =>
        ResultOf(Forward(arguments.Tensor(0, "x"), arguments.Tensor(1, "position_ids")));

    /// <summary>Cosines and sines are a tuple, complex factors are a tensor.</summary>
    private object? ResultOf(object?[] tensors) => _isComplex ? tensors[0] : tensors;

    private object?[] Forward(Tensor hidden, Tensor positionIds)
    {
        using var scope = NewDisposeScope();
        ScalarType type = isFloat32 ? ScalarType.Float32 : hidden.dtype;
        if (_sections is not null) return FromSections(hidden, positionIds);
        Tensor inverse = frequencies.At(positionIds);                                           // [rotaryDim/2], or [batch, 1, rotaryDim/2]
        Tensor angles = positionIds.unsqueeze(-1).to(ScalarType.Float32) * inverse;             // [batch, seq, rotaryDim/2]
        if (_isComplex) return [Turns(angles).MoveToOuterDisposeScope()];
        Tensor both = angles;                                                                   // [batch, seq, rotaryDim/2]
        if (_isConcatenated) both = cat([angles, angles], -1);                                  // [batch, seq, rotaryDim]
        if (_isRepeated) both = angles.repeat_interleave(2, 2);                                 // [batch, seq, rotaryDim]
        Tensor cosines = (both.cos() * frequencies.AttentionScaling).to(type);                             // [batch, seq, hidden]
        Tensor sines = (both.sin() * frequencies.AttentionScaling).to(type);                               // [batch, seq, hidden]
        return [cosines.MoveToOuterDisposeScope(), sines.MoveToOuterDisposeScope()];
    }

    /// <summary>Each frequency has the time, the height or the width of a token, in turn as far as there are sections of each.</summary>
    /// <remarks>apply_interleaved_mrope in transformers/models/qwen3_5/modeling_qwen3_5.py</remarks>
    /// <param name="positionIds">[3, batch, seq] int64</param>
    private object?[] FromSections(Tensor hidden, Tensor positionIds)
    {
        int half = frequencies.InverseFrequencies.Length;
        long[] axes = [.. Enumerable.Range(0, half).Select(i => (long)(i % 3 > 0 && i < 3 * _sections![i % 3] ? i % 3 : 0))];
        Tensor inverse = tensor(frequencies.InverseFrequencies, device: positionIds.device);            // [rotaryDim/2]
        Tensor selected = positionIds.index(TensorIndex.Tensor(tensor(axes, device: positionIds.device))); // [rotaryDim/2, batch, seq]
        Tensor positions = selected.to(ScalarType.Float32);                                             // [rotaryDim/2, batch, seq]
        Tensor angles = positions.permute(1, 2, 0) * inverse;                                           // [batch, seq, rotaryDim/2]
        Tensor both = cat([angles, angles], -1);                                                        // [batch, seq, rotaryDim]
        Tensor cosines = (both.cos() * frequencies.AttentionScaling).to(hidden.dtype);                  // [batch, seq, rotaryDim]
        Tensor sines = (both.sin() * frequencies.AttentionScaling).to(hidden.dtype);                    // [batch, seq, rotaryDim]
        return [cosines.MoveToOuterDisposeScope(), sines.MoveToOuterDisposeScope()];
    }

    /// <summary>The complex factors of the rotations.</summary>
    /// <param name="angles">[batch, seq, rotaryDim/2]</param>
    /// <returns>[batch, seq, rotaryDim/2] complex64</returns>
    private Tensor Turns(Tensor angles) => angles.device_type == TorchSharp.DeviceType.META
        ? empty(angles.shape, ScalarType.ComplexFloat32, angles.device) // libtorch has no meta kernel for it
        : complex(angles.cos() * frequencies.AttentionScaling, angles.sin() * frequencies.AttentionScaling);

    /// <summary>Rotates queries or keys by their positions: x cos + rotate_half(x) sin.</summary>
    /// <param name="x">[batch, heads, seq, headDim]</param>
    /// <param name="positionEmbeddings">The result of <see cref="Call"/>: 2 x [batch, seq, rotaryDim].</param>
    /// <returns>[batch, heads, seq, headDim]</returns>
    [Operation("apply_rotary_pos_emb")]
    public static Tensor Rotate(Tensor x, object?[] positionEmbeddings)
    {
        Tensor cosines = ((Tensor)positionEmbeddings[0]!).unsqueeze(1);                              // [batch, 1, seq, headDim]
        Tensor sines = ((Tensor)positionEmbeddings[1]!).unsqueeze(1);                                // [batch, 1, seq, headDim]
        Tensor[] halves = x.chunk(2, -1);                                                   // 2 x [batch, heads, seq, headDim/2]
        return x * cosines + cat([-halves[1], halves[0]], -1) * sines;
    }

    /// <summary>The same with cosines and sines in float32; the result is rounded once, to the dtype of <paramref name="x"/>.</summary>
    /// <remarks>apply_rotary_pos_emb in transformers/models/olmo2/modeling_olmo2.py</remarks>
    [Operation("apply_rotary_pos_emb")]
    public static Tensor RotateInFloat32(Tensor x, object?[] positionEmbeddings)
    {
        Tensor cosines = ((Tensor)positionEmbeddings[0]!).unsqueeze(1);                              // [batch, 1, seq, headDim]
        Tensor sines = ((Tensor)positionEmbeddings[1]!).unsqueeze(1);                                // [batch, 1, seq, headDim]
        Tensor[] halves = x.chunk(2, -1);                                                   // 2 x [batch, heads, seq, headDim/2]
        return (x * cosines + cat([-halves[1], halves[0]], -1) * sines).to(x.dtype);
    }
}

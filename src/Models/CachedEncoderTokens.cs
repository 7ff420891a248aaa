using static TorchSharp.torch;

namespace Ndif.Models;

/// <summary>
/// What one row of an encoder-decoder keeps of the encoder's tokens: hidden states and mask, and the keys and values of cross attention
/// in each layer. A decoder's step reads them and adds nothing. The tensors belong to no dispose scope.
/// </summary>
internal sealed class CachedEncoderTokens(int numLayers) : IDisposable
{
    /// <summary>The keys and values of each layer, the hidden states, the mask; dimension 1 is the encoder's tokens.</summary>
    private readonly Tensor?[] _tensors = new Tensor?[2 * numLayers + 2];

    public long ByteCount => _tensors.Sum(tensor => tensor is null ? 0 : tensor.NumberOfElements * tensor.ElementSize);

    /// <summary>The index of the keys of a layer: [heads, encoderSeq, headDim].</summary>
    public static int KeysOf(int layer) => 2 * layer;

    /// <summary>The index of the values of a layer: [heads, encoderSeq, headDim].</summary>
    public static int ValuesOf(int layer) => 2 * layer + 1;

    /// <summary>The index of the hidden states: [1, encoderSeq, hidden].</summary>
    public static int HiddenStatesOf(int layers) => 2 * layers;

    /// <summary>The index of the mask: [1, encoderSeq].</summary>
    public static int MaskOf(int layers) => 2 * layers + 1;

    /// <summary>Whether cross attention has run in a layer.</summary>
    public bool IsFilled(int layer) => _tensors[KeysOf(layer)] is not null;

    public Tensor? this[int index]
    {
        get => _tensors[index];
        set
        {
            using var noGrad = no_grad();
            _tensors[index]?.Dispose();
            _tensors[index] = value?.clone().DetachFromDisposeScope();
        }
    }

    public CachedEncoderTokens Clone()
    {
        var clone = new CachedEncoderTokens(numLayers);
        for (int i = 0; i < _tensors.Length; i++) clone[i] = _tensors[i];
        return clone;
    }

    public void Dispose()
    {
        foreach (Tensor? tensor in _tensors) tensor?.Dispose();
        Array.Clear(_tensors);
    }
}

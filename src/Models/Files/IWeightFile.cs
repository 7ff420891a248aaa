using static TorchSharp.torch;

namespace Ndif.Models.Files;

/// <summary>An open, mapped file of tensors: safetensors, or PyTorch's pickle.</summary>
internal interface IWeightFile : IDisposable
{
    string Path { get; }

    /// <summary>The tensors by name.</summary>
    IReadOnlyDictionary<string, SafetensorsEntry> Entries { get; }

    /// <summary>
    /// Creates a tensor over the mapped file, on the CPU and in the file's element type. The caller owns it; it belongs to no dispose
    /// scope and may outlive this object.
    /// </summary>
    Tensor Read(string name);

    /// <summary>The address of a tensor's first byte, valid until this object is disposed.</summary>
    nint Address(string name);

    /// <summary>Releases the memory of a tensor that was read and copied, see <see cref="FileMapping.ReleasePages"/>.</summary>
    void ReleasePages(string name);

    /// <summary>See <see cref="FileMapping.ReadAhead"/>.</summary>
    void ReadAhead();
}

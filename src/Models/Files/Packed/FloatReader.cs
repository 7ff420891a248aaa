using Ndif.Models.CpuKernels;
using ErrorCode = Ndif.Protocol.ErrorCode;

namespace Ndif.Models.Files.Packed;

/// <summary>The elements of a stored tensor of scales as float32.</summary>
internal readonly unsafe struct FloatReader
{
    private readonly byte* _data;
    private readonly char _type;

    private FloatReader(nint data, char type)
    {
        _data = (byte*)data;
        _type = type;
    }

    /// <exception cref="CheckpointException">The tensor is neither float16, bfloat16 nor float32.</exception>
    public static FloatReader Of(SafetensorsEntry entry, nint address) => entry.DType.Name switch
    {
        "F16" => new(address, 'h'),
        "BF16" => new(address, 'b'),
        "F32" => new(address, 'f'),
        var other => throw Errors.CreateException(ErrorCode.BadCheckpoint, $"The scales `{entry.Name}` are {other}, not F16, BF16 or F32.",
            module: entry.Name),
    };

    public float At(long index) => _type switch
    {
        'h' => (float)((Half*)_data)[index],
        'b' => BFloat16.ToSingle(((ushort*)_data)[index]),
        _ => ((float*)_data)[index],
    };
}

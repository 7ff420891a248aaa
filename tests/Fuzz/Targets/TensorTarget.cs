using Google.Protobuf;
using Ndif.Protocol;

namespace Ndif.Fuzz.Targets;

/// <summary>
/// The tensors and values of blob chunks, constants, callback replies and results. They are decoded and then read as a user reads them.
/// </summary>
internal sealed class TensorTarget : IFuzzTarget
{
    public IEnumerable<byte[]> Seeds()
    {
        foreach (DType type in Enum.GetValues<DType>())
        {
            ByteString zeros = ByteString.CopyFrom(new byte[6 * type.ItemSize()]);
            yield return Encode(new Tensor { Dtype = (DataType)type, Shape = { 2, 3 }, Inline = zeros });
        }
        yield return Encode(new Tensor { Dtype = DataType.Float32, Shape = { 3, 0, 5 } });
        ByteString element = ByteString.CopyFrom(1, 2, 3, 4);
        yield return Encode(new Tensor { Dtype = DataType.Float32, Shape = { -1, long.MaxValue }, Inline = element });
        var blob = new BlobRef { Id = new string('a', 64), Length = 8 };
        yield return Encode(new Tensor { Dtype = DataType.Float32, Shape = { 2 }, Blob = blob });
        var map = new DataMap { Entries = { new DataEntry { Key = "a", Value = new Data { Integer = 3 } } } };
        var list = new DataList { Items = { new Data { Real = 1.5 }, new Data { Map = map }, new Data() } };
        yield return new Data { List = list }.ToByteArray();
        yield return new BlobChunk { Id = new string('b', 64), Offset = 5, Total = 10, Data = ByteString.CopyFrom(1, 2) }.ToByteArray();
    }

    public void Run(byte[] input)
    {
        try
        {
            Read(Data.Parser.ParseFrom(input));
        }
        catch (InvalidProtocolBufferException)
        {
            // The gateway refuses it with BAD_ARGUMENT.
        }
        try
        {
            BlobChunk chunk = BlobChunk.Parser.ParseFrom(input);
            if (BlobChunk.Parser.ParseFrom(chunk.ToByteArray()).Data != chunk.Data)
                throw new FindingException("A chunk changed when it was encoded and decoded.");
        }
        catch (InvalidProtocolBufferException)
        {
            // As above.
        }
    }

    private static byte[] Encode(Tensor tensor) => new Data { Tensor = tensor }.ToByteArray();

    private static void Read(Data data)
    {
        foreach (Data item in data.List?.Items ?? []) Read(item);
        foreach (DataEntry entry in data.Map?.Entries ?? []) Read(entry.Value ?? new Data());
        if (data.ValueCase is not Data.ValueOneofCase.Tensor) return;
        TensorData tensor;
        try
        {
            tensor = TensorData.FromProto(data.Tensor);
        }
        catch (NdifException refused) when (refused.Code is ErrorCode.CorruptData)
        {
            return;
        }
        long count = 1;
        foreach (long size in tensor.Shape) count *= size;
        if (count != tensor.Count || count < 0)
            throw new FindingException($"A tensor of shape [{string.Join(", ", tensor.Shape.ToArray())}] has {tensor.Count} elements.");
        _ = tensor.ToString();
        if (TensorData.FromProto(tensor.ToProto()).Bytes.Length != tensor.Bytes.Length)
            throw new FindingException("A tensor changed when it was encoded and decoded.");
    }
}

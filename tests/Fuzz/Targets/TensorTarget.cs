using Google.Protobuf;
using Ndif.Protocol;

namespace Ndif.Fuzz.Targets;

/// <summary>Tensors and values as they come in chunks, constants, answers and results: decoded, and read as a user reads them.</summary>
internal sealed class TensorTarget : IFuzzTarget
{
    public IEnumerable<byte[]> Seeds()
    {
        foreach (DType type in Enum.GetValues<DType>())
            yield return new Data { Tensor = new Tensor { Dtype = (DataType)type, Shape = { 2, 3 }, Inline = ByteString.CopyFrom(new byte[6 * type.ItemSize()]) } }.ToByteArray();
        yield return new Data { Tensor = new Tensor { Dtype = DataType.Float32, Shape = { 3, 0, 5 } } }.ToByteArray();
        yield return new Data { Tensor = new Tensor { Dtype = DataType.Float32, Shape = { -1, long.MaxValue }, Inline = ByteString.CopyFrom(1, 2, 3, 4) } }.ToByteArray();
        yield return new Data { Tensor = new Tensor { Dtype = DataType.Float32, Shape = { 2 }, Blob = new BlobRef { Id = new string('a', 64), Length = 8 } } }.ToByteArray();
        var map = new DataMap { Entries = { new DataEntry { Key = "a", Value = new Data { Integer = 3 } } } };
        yield return new Data { List = new DataList { Items = { new Data { Real = 1.5 }, new Data { Map = map }, new Data() } } }.ToByteArray();
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
            // told as BAD_ARGUMENT
        }
        try
        {
            BlobChunk chunk = BlobChunk.Parser.ParseFrom(input);
            if (BlobChunk.Parser.ParseFrom(chunk.ToByteArray()).Data != chunk.Data) throw new FindingException("A chunk is another one after it was sent.");
        }
        catch (InvalidProtocolBufferException)
        {
            // so too
        }
    }

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
        if (count != tensor.Count || count < 0) throw new FindingException($"A tensor of shape [{string.Join(", ", tensor.Shape.ToArray())}] has {tensor.Count} elements.");
        _ = tensor.ToString();
        if (TensorData.FromProto(tensor.ToProto()).Bytes.Length != tensor.Bytes.Length) throw new FindingException("A tensor is another one after it was sent.");
    }
}

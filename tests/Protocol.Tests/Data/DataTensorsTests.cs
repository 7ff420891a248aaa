using Google.Protobuf;

namespace Ndif.Protocol.Tests.Data;

public sealed class DataTensorsTests
{
    [Fact]
    public void Tensors_AreFound_AtEveryDepth_InOrder()
    {
        Tensor inline = new()
        {
            Inline = ByteString.CopyFrom(1),
        }, first = new() { Blob = new BlobRef { Id = "a" } }, second = new() { Blob = new BlobRef { Id = "b" } };
        var list = new DataList
        {
            Items = { new Protocol.Data { Tensor = first }, new Protocol.Data { Integer = 3 }, new Protocol.Data { Tensor = inline } },
        };
        var map = new DataMap
        {
            Entries = { new DataEntry
            {
                Key = "x",
                Value = new Protocol.Data { List = list },
            }, new DataEntry { Key = "y", Value = new Protocol.Data { Tensor = second } } },
        };
        var data = new Protocol.Data { Map = map };

        Assert.Equal([first, inline, second], data.Tensors());
        Assert.Equal([first, second], data.BlobTensors());
        Assert.Empty(((Protocol.Data?)null).Tensors());
    }
}

using Ndif.Protocol;
using TorchSharp;

namespace Ndif.Engine.Tests.Results;

/// <summary>Values of a client, which may be anything that the message type can hold.</summary>
public sealed class ValueDeserializerTests
{
    [Fact]
    public void AMapWithAKeyTwice_IsRefused()
    {
        var data = new Data { Map = new DataMap() };
        data.Map.Entries.Add(new DataEntry { Key = "a", Value = new Data { Integer = 1 } });
        data.Map.Entries.Add(new DataEntry { Key = "a", Value = new Data { Integer = 2 } });
        NdifException refused = Assert.Throws<NdifException>(() => ValueDeserializer.Deserialize(data, torch.CPU));
        Assert.Equal(ErrorCode.CorruptData, refused.Code);
    }

    [Fact]
    public void AnEntryWithoutAValue_IsNull()
    {
        var data = new Data { Map = new DataMap { Entries = { new DataEntry { Key = "a" } } } };
        var map = Assert.IsType<Dictionary<string, object?>>(ValueDeserializer.Deserialize(data, torch.CPU));
        Assert.Null(map["a"]);
    }
}

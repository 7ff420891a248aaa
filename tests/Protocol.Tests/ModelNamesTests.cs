namespace Ndif.Protocol.Tests;

public sealed class ModelNamesTests
{
    [Theory]
    [InlineData("org/model", "", "org/model")]
    [InlineData("org/model", "r1", "org/model@r1")]
    public void Name_HasTheRevision_IfThereIsOne(string id, string revision, string name)
    {
        Assert.Equal(name, ModelNames.Format(id, revision));
        Assert.Equal(name, new ModelRef { Id = id, Revision = revision }.GetName());
        Assert.Equal(name, new Deployment { Model = id, Revision = revision }.GetName());
        Assert.Equal(new ModelRef { Id = id, Revision = revision }, ModelNames.Parse(name));
        Assert.Equal(revision.Length == 0 ? [id] : [id, name], ModelNames.GetNames(id, revision));
    }
}

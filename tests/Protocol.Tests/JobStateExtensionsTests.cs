namespace Ndif.Protocol.Tests;

public sealed class JobStateExtensionsTests
{
    [Theory]
    [InlineData(JobState.Received, false)]
    [InlineData(JobState.Queued, false)]
    [InlineData(JobState.Loading, false)]
    [InlineData(JobState.Running, false)]
    [InlineData(JobState.Completed, true)]
    [InlineData(JobState.Failed, true)]
    [InlineData(JobState.Cancelled, true)]
    public void OnlyAnEnd_IsTerminal(JobState state, bool isTerminal)
    {
        Assert.Equal(isTerminal, state.IsTerminal());
        Assert.Equal(isTerminal, new Event { State = new StateChanged { State = state } }.IsTerminal());
    }

    [Fact]
    public void AnEventOfAnotherKind_IsNotTerminal() => Assert.False(new Event { Log = new LogLine() }.IsTerminal());
}

using System.Runtime.CompilerServices;

// the tests' tables are made with Nested and described with Describe
[assembly: InternalsVisibleTo("Ndif.Engine.Tests")]
